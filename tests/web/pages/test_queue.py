"""The queue in the order in which nodes get it, the platforms, the recipes, the settings, and how to install."""

from __future__ import annotations

import dataclasses
import re
from html import unescape
from pathlib import Path

import pytest
from flask import render_template
from flask.testing import FlaskClient
from sqlalchemy import Engine, event

from schema.db.models import HourCount, RuleCount
from schema.db.session import transaction
from schema.sections import DatabaseSection, FarmSection, RedisSection, UpstreamSection
from schema.settings import Settings
from tests import entries
from tests.entries import ARM, HERE, ago, later
from tests.web.pages.words import plain, words
from web import knowledge, queue
from web.app import create_app


def test_the_queue_stands_in_the_order_of_its_scores_whatever_the_sizes(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        for number, size in enumerate((0, 4, 2, 1)):
            project = entries.project(session, f"p{number}")
            entries.build(session, project, score=10.0 * number, size=size, boost=7.0)
        other = entries.project(session, "elsewhere")
        entries.build(session, other, platform=ARM, score=500.0)

    text = words(client, "/queue/")

    assert f"Next on {HERE}" in text
    assert text.index("p3 ") < text.index("p2 ") < text.index("p1 ") < text.index("p0 ")
    assert "elsewhere" not in text
    assert "boost +7" in text
    assert "elsewhere" in words(client, f"/queue/?platform={ARM}")


def test_each_platform_tells_when_its_queue_may_be_empty(client: FlaskClient, database: Engine) -> None:
    hour = ago().replace(minute=0, second=0, microsecond=0)
    with transaction(database) as session:
        for version in ("1.0", "2.0", "3.0"):
            entries.build(session, entries.project(session, f"p{version}"), version)
        entries.build(session, entries.project(session, "arm"), platform=ARM)
        session.add(HourCount(hour=hour, platform=HERE, what="built", builds=36))

    text = words(client, "/queue/")

    assert f"{HERE} 3 0 0 1.5 about 2 h" in text
    assert f"{ARM} 1 0 0 0.0 nobody can tell: nothing ended in the last day" in text


def test_a_long_queue_goes_on_page_by_page_and_no_build_is_left_out(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        project = entries.project(session, "many")
        for number in range(120):
            entries.build(session, project, f"1.{number}", score=float(number % 7), size=number % 5)

    seen, path = [], "/queue/"
    while path:
        page = client.get(path).text
        seen += re.findall(r'data-label="Build"><a href="/build/(\d+)/"', page)
        following = re.findall(r'rel="next" href="([^"]*)"', page)
        path = unescape(following[0]) if following else ""

    assert len(seen) == len(set(seen)) == 120


@pytest.mark.usefixtures("database")
def test_an_empty_queue_says_how_to_fill_it(client: FlaskClient) -> None:
    assert "Nothing is queued. wheelfarm request NAME asks for a project." in words(client, "/queue/")
    assert client.get("/queue/?platform=%00&after=99999999999999").status_code == 200


def test_a_page_of_the_queue_is_read_along_its_index(database: Engine) -> None:
    with transaction(database) as session:
        entries.build(session, entries.project(session, "one"))
    asked: list[tuple[str, object]] = []
    event.listen(database, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))

    with transaction(database) as session:
        queue.queue_page(session, platform=HERE, after=1)
    if database.dialect.name != "sqlite":
        return
    sql, values = next(item for item in asked if "builds.state = 'queued'" in item[0])
    with database.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]  # type: ignore[arg-type]
    assert (
        sum("USING INDEX ix_builds_next" in step or "USING COVERING INDEX ix_builds_next" in step for step in plan) == 5
    )
    assert [step for step in plan if "SCAN builds" in step] == []


def test_platforms_tell_their_nodes_and_what_keeps_them_from_being_built_for(
    client: FlaskClient, database: Engine
) -> None:
    with transaction(database) as session:
        entries.node(session, "pi4", platforms=[ARM, "plan9-mips-cp311"], emulated=[ARM])
        entries.node(session, "gone", platforms=[HERE], state="retired")
        entries.node(session, "liar", platforms="everything", emulated={"x": 1})
        entries.build(session, entries.project(session, "cffi"), platform=ARM, state="failed")

    text = words(client, "/platforms/")

    assert f"{ARM} Debian 12, aarch64, CPython 3.11, glibc 2.36 Published 0 To do 0 Failed 1" in text
    assert "pi4 active emulated" in text
    assert f"{HERE} Debian 12, x86_64, CPython 3.11, glibc 2.36 nothing is built no node offers it" in text
    assert "plan9-mips-cp311 not in farm.platforms" in text


def test_recipes_tell_what_came_of_each_rule_and_a_faulty_file_hides_no_other(
    settings: Settings, database: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    rule = (
        '[[rule]]\nid = "needs"\nwhy = "it <b>needs</b> it"\ndebian_packages = ["libffi-dev"]\nexpires = 2026-01-01\n'
    )
    (folder / "aaa-mine.toml").write_text(rule, encoding="utf-8")
    (folder / "aaa-wrong.toml").write_text("[[rule]]\nid = 7\n", encoding="utf-8")
    with transaction(database) as session:
        session.add(RuleCount(id="aaa-mine/needs", uses=4, successes=3, used_at=ago(days=1)))
    farm = dataclasses.replace(settings.farm, recipes=(folder,))
    app = create_app(dataclasses.replace(settings, farm=farm))

    page = app.test_client().get("/recipes/").text
    app.extensions["database"].close()

    assert "aaa-mine/needs" in page
    assert "it &lt;b&gt;needs&lt;/b&gt; it" in page
    assert ">expired</span>" in page
    assert re.search(r'"Uses" class="number">4<.*?"Wheels" class="number">3 <span class="soft">75 %', page, re.DOTALL)
    assert "aaa-wrong.toml: rule 7: id: must be a text" in page


def test_settings_never_show_what_is_secret(tmp_path: Path) -> None:
    settings = Settings(
        farm=FarmSection(home=tmp_path, name="<my farm>"),
        database=DatabaseSection(url="postgresql://farm:hunter2@db/farm"),
        redis=RedisSection(url="rediss://:hunter2@redis/0"),
        upstream=UpstreamSection(index_url="https://me:hunter2@index.example/simple/?token=hunter2"),
    )

    with create_app(settings).test_request_context("/settings/"):  # as who may see them does
        found = knowledge.settings(settings)
        page = render_template("settings.html", sections=found, webhooks=[], events=[], secret="", trouble="")

    text = plain(page)
    assert "hunter2" not in page
    assert "url set, not shown changed" in text
    assert "index_url https://index.example/simple/ changed" in text
    assert "name <my farm> changed" in text
    assert "poll_s 600.0 timeout_s" in text


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("browser", "chosen"),
    [
        ("Mozilla/5.0 (X11; Linux aarch64; rv:140.0) Gecko/20100101 Firefox/140.0", "debian12-aarch64"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/146.0 Safari/537.36", "debian12-x86_64"),
        ("Mozilla/5.0 (Linux; Android 15; arm64) Chrome/146.0", "debian12-x86_64"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "debian12-x86_64"),
        ("Mozilla/5.0 (X11; Linux armv7l)", "debian12-x86_64"),
        ("linux " * 10_000, "debian12-x86_64"),
        ("", "debian12-x86_64"),
    ],
)
def test_the_install_page_chooses_the_view_of_the_machine_that_the_browser_tells(
    client: FlaskClient, browser: str, chosen: str
) -> None:
    text = words(client, "/install/", headers={"User-Agent": browser})

    assert f"pip install --extra-index-url http://localhost/{chosen}/simple/ NAME" in text
    assert f'[[tool.pdm.source]] name = "farm" url = "http://localhost/{chosen}/simple/"' in text
    assert "/debian12-aarch64/simple/ NAME" in words(
        client, "/install/?view=debian12-aarch64", headers={"User-Agent": browser}
    )


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", ["cffi; rm -rf ~", "$(id)", "-r evil", "<script>", "%00"])
def test_only_a_projects_name_gets_into_the_commands_that_people_paste(client: FlaskClient, name: str) -> None:
    assert "/simple/ NAME" in words(client, f"/install/?name={name}")
    assert "/simple/ cffi " in words(client, "/install/?name=CFFI")


def test_builds_of_one_platform_are_found_among_many_of_another(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        project = entries.project(session, "many")
        entries.build(session, project, "0.1", platform=ARM, state="held", not_before=later(days=1))
        for number in range(1100):
            entries.build(session, project, f"1.{number}", state="held" if number % 2 else "unneeded")

    seen, path = 0, f"/builds/?platform={ARM}"
    for _ in range(3):
        page = client.get(path).text
        seen += page.count('data-label="Build"')
        following = re.findall(r'class="more" href="([^"]*)"', page)
        if not following:
            break
        path = unescape(following[0])

    assert seen == 1
    assert client.get(f"/builds/?platform={ARM}&state=held").text.count('data-label="Build"') == 1
