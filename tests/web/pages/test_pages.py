"""The pages for people: what stands on them, what they answer to odd questions, and what they cost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event

from schema.db.models import Base, Download
from schema.db.session import transaction
from schema.settings import Settings
from tests import entries
from tests.entries import ARM, HERE
from tests.web import seed

EVERY_PAGE = [
    "/",
    "/project/cffi/",
    "/builds/",
    "/nodes/",
    "/search",
    "/search?q=cf",
    "/build/1/",
    "/project/nobody/",
    "/farm/",
    "/audit/",
    "/wheel/cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl/",
    "/queue/",
    "/failures/",
    "/failures/1/",
    "/platforms/",
    "/recipes/",
]
# It says what the farm is set to, which no database knows.
WITHOUT_DATABASE = ["/install/"]


def _text(client: FlaskClient, path: str, *, status: int = 200) -> str:
    """The words of a page, without its tags."""
    response = client.get(path)
    assert response.status_code == status
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", response.text))).replace(" ,", ",")


@contextmanager
def _counted(app: Flask) -> Iterator[list[str]]:
    asked: list[str] = []
    connected = app.extensions["database"]._connected()

    def count(*args: object) -> None:
        asked.append(str(args[2]))

    event.listen(connected, "before_cursor_execute", count)
    yield asked
    event.remove(connected, "before_cursor_execute", count)


@pytest.mark.usefixtures("farm")
def test_home_says_what_there_is_and_how_to_use_it(client: FlaskClient) -> None:
    text = _text(client, "/")

    assert "Wheels 3 " in text
    assert "To do 2 " in text
    assert "Nodes 2 of 3 " in text
    assert "pip install --extra-index-url http://localhost/debian12-x86_64/simple/ NAME" in text
    assert "uv pip install --index-strategy unsafe-best-match" in text
    assert '[[tool.poetry.source]] name = "farm" url = "http://localhost/debian12-x86_64/simple/"' in text
    assert "Being built on pi4-a for 5 min" in text


@pytest.mark.usefixtures("database")
def test_home_of_an_empty_farm(client: FlaskClient) -> None:
    text = _text(client, "/")

    assert "No wheel was published so far." in text
    assert "Nothing is being built at this moment." in text


@pytest.mark.usefixtures("farm")
def test_the_chosen_view_is_in_the_install_lines(client: FlaskClient) -> None:
    assert "extra-index-url http://localhost/debian12-aarch64/simple/ NAME" in _text(client, "/?view=debian12-aarch64")
    assert "extra-index-url http://localhost/simple/ cffi" in _text(client, "/project/cffi/?view=")
    assert "extra-index-url http://localhost/debian12-x86_64/simple/ NAME" in _text(client, "/?view=plan9")


@pytest.mark.usefixtures("farm")
def test_a_host_without_tls_is_named_to_pip_as_trusted(client: FlaskClient) -> None:
    text = client.get("/", headers={"Host": "farm.example:8181"}).text

    assert "http://farm.example:8181/debian12-x86_64/simple/ --trusted-host farm.example NAME" in text


def test_a_project_shows_each_version_on_each_platform(client: FlaskClient, farm: dict[str, int]) -> None:
    text = _text(client, "/project/cffi/")

    why = "build: src/c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory"
    assert f"Version {ARM} {HERE} 1.17.1 failed Failed on pi4-b, attempt 2 ({why})" in text
    assert (
        f"published cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl 467 kB, 20 min ago, build #{farm['published']}"
        in text
    )
    assert "yanked broken on aarch64" in text
    assert "not asked for" in text
    assert "pycparser; os_name != 'nt'" in text
    assert "PyNaCl 1.6.2 needs it" in text
    assert "Upstream has 3 more versions that nobody asked for 1.16.0 1.15.1 1.15.0" in text


@pytest.mark.usefixtures("farm")
def test_a_pure_wheel_serves_the_other_platforms_too(client: FlaskClient) -> None:
    text = _text(client, "/project/click/")

    assert "served click-8.3.1-py3-none-any.whl" in text
    assert f"on {ARM}" in text


def test_a_build_that_another_platforms_wheel_spares_shows_that_wheel(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        project = entries.project(session, "click")
        pure = entries.build(session, project, "8.3.1", platform=ARM, state="published")
        entries.wheel(session, pure, "click-8.3.1-py3-none-any.whl")
        entries.build(session, project, "8.3.1", state="unneeded", reason="click-8.3.1-py3-none-any.whl serves it")

    text = _text(client, "/project/click/")

    assert f"served click-8.3.1-py3-none-any.whl 467 kB, 20 min ago, build #1 on {ARM}" in text
    assert "not needed" not in text


def test_a_version_that_lags_behind_is_told(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        project = entries.project(session, "numpy")
        entries.wheel(
            session, entries.build(session, project, "2.4.0", state="published"), "numpy-2.4.0-py3-none-any.whl"
        )
        entries.build(session, project, "2.4.1", state="failed", reason="no luck")

    text = _text(client, "/project/numpy/")

    assert f"On {HERE} the newest version with a wheel is 2.4.0; 2.4.1 has none." in text
    assert '"numpy<=2.4.0"' in text


def test_a_project_of_many_versions_shows_the_newest_first(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        project = entries.project(session, "boto3")
        for number in range(70):
            entries.build(session, project, f"1.{number}.0", state="unneeded", reason="upstream has it")

    text = _text(client, "/project/boto3/")

    assert re.search(r" 1\.69\.0 (not asked for )?not needed", text)
    assert " 1.9.0 " not in text
    assert "10 older versions more" in text
    assert " 1.9.0 " in _text(client, "/project/boto3/?versions=all")


@pytest.mark.usefixtures("farm")
def test_project_names_are_normalised_by_a_redirect(client: FlaskClient) -> None:
    response = client.get("/project/CFFI/")

    assert (response.status_code, response.headers["Location"]) == (301, "/project/cffi/")
    assert client.get("/project/cffi").status_code == 308


@pytest.mark.usefixtures("farm")
def test_an_unknown_project_says_how_to_ask_for_it(client: FlaskClient) -> None:
    assert "wheelfarm request no-such-project" in _text(client, "/project/no-such-project/", status=404)


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize(
    "path", ["/project/-/", "/project/%3Cscript%3E/", "/build/999/", "/build/99999999999999/", "/nothing"]
)
def test_what_is_not_there_is_404(client: FlaskClient, path: str) -> None:
    assert "There is nothing at this address." in _text(client, path, status=404)


def test_a_published_build_tells_everything_about_its_wheel(client: FlaskClient, farm: dict[str, int]) -> None:
    text = _text(client, f"/build/{farm['published']}/")

    assert "Published as cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl" in text
    assert entries.digest("cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl") in text
    file = "files/cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl"
    assert f"Repeat it wheelfarm rebuild --locally http://localhost/{file}" in text
    assert "Repeatable yes another build gave the same bytes" in text
    assert "fetch 0.7 s" in text
    assert "sign 1 min 19 s" in text
    assert "Memory, at most 412 MB" in text
    assert "Memory, in MB import: 280 MB, the most." in text
    assert "requirement setuptools 82.0.1" in text
    assert "debian libffi-dev 3.4.4-1 no digest" in text
    assert "SOURCE_DATE_EPOCH 1725000000" in text
    assert "a short log" in text


def test_a_wheel_that_is_not_repeatable_says_why(client: FlaskClient, farm: dict[str, int]) -> None:
    number = farm["withdrawn"] + 1
    text = _text(client, f"/build/{number}/")

    assert "Repeatable no another build gave other bytes: a build date stands in click/_date.py" in text


def test_a_failed_build_tells_class_message_evidence_and_attempts(client: FlaskClient, farm: dict[str, int]) -> None:
    text = _text(client, f"/build/{farm['failed']}/")

    assert "Why it failed build the backend ended with exit code 1" in text
    assert "fatal error: ffi.h: No such file or directory" in text
    assert "wheelfarm retry" in text
    assert "Log attempt 2" in text
    assert "Log attempt 1" in _text(client, f"/build/{farm['failed']}/?attempt=1")
    assert client.get(f"/build/{farm['failed']}/?attempt=3").status_code == 404


def test_a_build_that_was_tried_several_times_tells_each_try(client: FlaskClient, farm: dict[str, int]) -> None:
    text = _text(client, f"/build/{farm['failed']}/")

    assert "Line 18 of the log." in text
    assert "What was tried" in text
    assert "1 the recipe alone header fatal error: ffi.h: No such file (line 18)" in text
    assert "2 debian the header ffi.h is missing: libffi-dev build error: something else" in text
    assert "What was tried" not in _text(client, f"/build/{farm['published']}/")


@pytest.mark.parametrize(
    "state", ["queued", "waiting", "held", "poisoned", "withdrawn", "unneeded", "collecting", "leased"]
)
def test_a_build_in_any_state_has_its_page(client: FlaskClient, farm: dict[str, int], state: str) -> None:
    assert client.get(f"/build/{farm[state]}/").status_code == 200


def test_the_page_of_an_open_build_renews_itself_without_a_script(client: FlaskClient, farm: dict[str, int]) -> None:
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>'

    assert refresh in client.get(f"/build/{farm['leased']}/").text
    assert refresh not in client.get(f"/build/{farm['published']}/").text


def test_progress_is_bounded_json(client: FlaskClient, farm: dict[str, int], settings: Settings) -> None:
    (settings.logs / str(farm["leased"]) / "1.log").write_text(seed.LOG * 20, encoding="utf-8")

    response = client.get(f"/build/{farm['leased']}/progress.json")

    news = json.loads(response.data)
    assert news["state"] == "leased"
    assert news["steps"][-1]["name"] == "build"
    assert news["steps"][-1]["running"] is True
    assert news["log"].endswith("part_1199.o\n")
    assert not news["whole"]
    assert len(response.data) < 40_000
    assert response.headers["Cache-Control"] == "no-cache"


def test_how_a_wheel_fared_elsewhere_is_on_its_builds_and_its_projects_page_and_in_json(
    client: FlaskClient, farm: dict[str, int]
) -> None:
    build, project = client.get(f"/build/{farm['published']}/").text, client.get("/project/cffi/").text
    data = client.get("/project/cffi/portability.json").json

    assert '<span class="pill plain">not claimed</span> debian11-x86_64' in build
    assert '<span class="pill good">loads</span> debian13-x86_64' in build
    assert "debian13-x86_64: loads" in project
    assert data == {
        "cffi-1.17.1-cp311-cp311-manylinux_2_34_x86_64.whl": seed.PORTABILITY,
        "cffi-1.17.0-cp311-cp311-manylinux_2_34_aarch64.whl": [],
    }
    assert client.get("/project/nobody-knows/portability.json").status_code == 404


def test_a_long_log_is_shown_from_its_last_lines(client: FlaskClient, farm: dict[str, int], settings: Settings) -> None:
    (settings.logs / str(farm["leased"]) / "1.log").write_text(seed.LOG * 20, encoding="utf-8")

    page = client.get(f"/build/{farm['leased']}/").text

    assert "The end of it." in page
    assert len(page) < 90_000
    assert re.search(r'<pre class="log"[^>]*>\[', page)


def test_the_whole_log_is_a_plain_text_to_save(client: FlaskClient, farm: dict[str, int], settings: Settings) -> None:
    raw = b"\x1b[31m<script>alert(1)</script>\xff\n"
    (settings.logs / str(farm["failed"]) / "1.log").write_bytes(raw)

    response = client.get(f"/build/{farm['failed']}/log?attempt=1")

    assert response.data == raw
    assert response.headers["Content-Length"] == str(len(raw))
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="build-{farm["failed"]}-1.log"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert client.get(f"/build/{farm['queued']}/log").status_code == 404
    assert client.get(f"/build/{farm['failed']}/log?attempt=9").status_code == 404
    assert client.get(f"/build/{farm['failed']}/log?attempt=../1").status_code == 404


@pytest.mark.usefixtures("farm")
def test_builds_are_filtered_by_state_and_platform(client: FlaskClient) -> None:
    failed = _text(client, "/builds/?state=failed")
    arm = _text(client, f"/builds/?platform={ARM}")
    still = _text(client, "/builds/?state=open")

    assert "Failed on pi4-b" in failed
    assert "Published as" not in failed
    assert f"{HERE} published" not in arm
    assert "checking" in still
    assert "Withdrawn:" not in still
    assert "No build is like that." in _text(client, f"/builds/?state=held&platform={ARM}")


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize(
    "query", ["state=%27;drop", "before=-1", "before=99999999999999999999", "before=1%00", "platform=%F0%9F"]
)
def test_odd_filters_are_no_errors(client: FlaskClient, query: str) -> None:
    assert client.get(f"/builds/?{query}").status_code == 200


def test_older_builds_stand_on_the_next_page(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        project = entries.project(session, "numpy")
        for number in range(60):
            entries.build(session, project, f"1.{number}", state="held", reason="test")

    first = client.get("/builds/?state=held").text
    (older,) = re.findall(r'<a class="more" href="([^"]*)"', first)
    second = client.get(unescape(older)).text

    assert (first.count("<tr>"), second.count("<tr>")) == (51, 11)
    assert 'class="more"' not in second


@pytest.mark.usefixtures("farm")
def test_nodes_tell_state_work_and_facts(client: FlaskClient) -> None:
    text = _text(client, "/nodes/")

    assert "builder-of-many-names draining gets a new disk" in text
    assert "pi4-b silent" in text
    assert "Slots 1 of 2 in use" in text
    assert "Processors 4 Memory 8.2 GB Free disk 21.5 GB" in text
    assert "kernel 6.12.0" in text
    assert "memory group" in text


@pytest.mark.usefixtures("farm")
def test_search_finds_by_any_part_of_the_normalised_name(client: FlaskClient) -> None:
    assert "pynacl" in _text(client, "/search?q=NaCl")
    assert "left-pad" in _text(client, "/search?q=left_pad")
    assert "wheelfarm request zzz" in _text(client, "/search?q=zzz")
    assert "No project here has a name like that." in _text(client, "/search?q=%25")
    assert "cryptography" in _text(client, "/search")


def test_many_projects_are_paged(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        for number in range(60):
            entries.project(session, f"project-{number:02}")

    first = client.get("/search?q=project").text
    (more,) = re.findall(r'<a class="more" href="([^"]*)"', first)

    assert "project-49" in first
    assert "project-50" not in first
    assert "project-59" in client.get(unescape(more)).text


@pytest.mark.usefixtures("farm")
def test_health(client: FlaskClient, unreachable: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert unreachable.get("/healthz").status_code == 503


@pytest.mark.parametrize(
    "path", [*EVERY_PAGE, "/build/1/log", "/build/1/progress.json", "/project/cffi/portability.json"]
)
def test_without_a_database_the_pages_say_so(unreachable: FlaskClient, path: str) -> None:
    response = unreachable.get(path)

    assert response.status_code == 503
    assert "does not answer just now" in response.text
    assert response.headers["Retry-After"] == "10"
    assert "nonexistent" not in response.text


def test_without_a_database_the_index_still_works(unreachable: FlaskClient, settings: Settings) -> None:
    page = settings.site / "simple" / "cffi" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<!doctype html>", encoding="utf-8")

    assert unreachable.get("/simple/cffi/").status_code == 200
    assert unreachable.get("/simple/nothing/").status_code == 404


def test_a_database_without_tables_is_no_database_yet(client: FlaskClient, database: Engine) -> None:
    Base.metadata.drop_all(database)

    assert client.get("/").status_code == 503
    assert client.get("/healthz").status_code == 503


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize(
    "path", [*EVERY_PAGE, *WITHOUT_DATABASE, "/static/style.css", "/nothing", "/healthz", "/simple/nothing/"]
)
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers

    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize("path", [*EVERY_PAGE, *WITHOUT_DATABASE])
def test_the_pages_write_nothing_and_take_no_posts(client: FlaskClient, path: str) -> None:
    assert client.post(path).status_code == 405
    assert client.head(path).status_code == client.get(path).status_code


@pytest.mark.usefixtures("farm")
def test_the_database_is_opened_for_reading_only(app: Flask) -> None:
    with pytest.raises(Exception, match=r"read-?only"), app.extensions["database"].reading() as session:
        entries.project(session, "smuggled")


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize("path", EVERY_PAGE)
def test_a_page_costs_a_few_queries_however_much_it_shows(
    app: Flask, client: FlaskClient, database: Engine, path: str
) -> None:
    with _counted(app) as asked:
        client.get(path)
        few = len(asked)
    with transaction(database) as session:
        project = entries.project(session, "cffi-two")
        for number in range(40):
            build = entries.build(session, project, f"9.{number}", state="published", fence=1)
            entries.attempt(session, build)
            entries.wheel(session, build, f"cffi_two-9.{number}-py3-none-any.whl")
    with _counted(app) as asked:
        client.get("/project/cffi-two/" if path == "/project/cffi/" else path)

    assert few > 0
    assert len(asked) <= max(few, 14)


@pytest.mark.usefixtures("farm")
def test_assets_change_their_address_with_their_bytes(client: FlaskClient) -> None:
    (address,) = re.findall(r'<link rel="stylesheet" href="([^"]*)"', client.get("/").text)

    response = client.get(address, buffered=True)

    assert re.fullmatch(r"/static/style\.css\?v=[0-9a-f]{12}", address)
    assert response.status_code == 200
    assert "max-age=86400" in response.headers["Cache-Control"]


def test_a_queued_build_shows_each_term_of_its_score_and_a_published_one_none(
    client: FlaskClient, farm: dict[str, int]
) -> None:
    text = _text(client, f"/build/{farm['queued']}/")

    assert "Its place in the queue" in text
    assert "asked +0.0 the farm wants it by itself" in text
    assert "Its place in the queue" not in _text(client, f"/build/{farm['published']}/")


def test_a_failed_build_leads_to_what_failed_of_the_same_cause(client: FlaskClient, farm: dict[str, int]) -> None:
    page = client.get(f"/build/{farm['failed']}/").text

    assert '<a href="/failures/1/">What failed of the same cause, and what helps</a>' in page
    assert "/failures/1/" not in client.get(f"/build/{farm['published']}/").text


def test_what_a_build_took_is_told_beside_what_its_node_has(client: FlaskClient, farm: dict[str, int]) -> None:
    text = _text(client, f"/build/{farm['published']}/")

    assert "Processor time 2 min 20 s 42 % of what 4 cores could do in that time" in text
    assert "Memory, at most 412 MB 5 % of its node's memory" in text


def test_the_log_of_a_build_that_has_ended_is_folded_by_step(
    client: FlaskClient, farm: dict[str, int], settings: Settings
) -> None:
    file = settings.logs / str(farm["failed"]) / "2.log"
    file.write_text("--- fetch\ngot it\n--- build\n<b>gcc</b>\nerror\n", encoding="utf-8")

    page = client.get(f"/build/{farm['failed']}/").text

    assert re.findall(r"<summary>(\w+) <span[^>]*>(\d+ lines?)<", page) == [("fetch", "1 line"), ("build", "2 lines")]
    assert "&lt;b&gt;gcc&lt;/b&gt;" in page
    assert page.count("<details open>\n    <summary>build") == 1


@pytest.mark.usefixtures("farm")
def test_nodes_tell_their_load_heat_and_images(client: FlaskClient) -> None:
    text = _text(client, "/nodes/")

    assert "pi4-a active 1 of 2 2.4 on 4 cores 3.1 GB 62 °C" in text
    assert "pi4-b silent 0 of 1 not told not told not told" in text
    assert "Images debian12-aarch64, debian12-x86_64" in text


def test_a_project_tells_downloads_dependents_and_whether_its_wheels_repeat(
    client: FlaskClient, database: Engine
) -> None:
    with transaction(database) as session:
        project = entries.project(session, "numpy", downloads=1_234_567, dependents=1)
        build = entries.build(session, project, "2.4.0", state="published")
        entries.wheel(session, build, "numpy-2.4.0-py3-none-any.whl", repeated=False, repeated_note="a date in x.so")

    text = _text(client, "/project/numpy/")

    assert "1,234,567 downloads in the imported ranking. 1 project of the farm needs it." in text
    assert "not repeatable: a date in x.so" in text


def test_a_project_draws_its_downloads_from_this_farm(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        entries.project(session, "numpy")
        for days, count in ((0, 5), (3, 20), (90, 7)):
            day = entries.ago(days=days).date()
            session.add(Download(day=day, filename="numpy-2.4.0-py3-none-any.whl", project="numpy", count=count))

    text = _text(client, "/project/numpy/")

    assert "Downloads from this farm in 30 days 25 in all, 20 on the busiest day." in text
    assert "Downloads from this farm" not in _text(client, "/project/nobody/", status=404)
