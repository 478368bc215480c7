"""The merge view: the upstream's files beside the farm's, whatever the upstream does."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from flask import Flask

from schema.errors import UnknownProjectError, UpstreamError
from schema.sections import FarmSection, UpstreamSection, WebSection
from schema.settings import Settings
from tests.sample_site import HERE
from tests.upstream import FakeUpstream
from tests.web.index.conftest import Reader
from web.copies import Copies
from web.index import Index

JSON = "application/vnd.pypi.simple.v1+json"
WHEEL, SDIST = "demo-1.0-py3-none-any.whl", "demo-3.0.tar.gz"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as made:
        made.add_file("demo", filename=WHEEL, upload_time="2020-01-01T00:00:00Z")
        made.add_file("demo", filename=SDIST, upload_time="2020-02-02T00:00:00Z", requires_python=">=3.8")
        made.add_file(
            "demo", filename="demo-2.5-cp39-abi3-win_amd64.whl", yanked="broken: <b>", metadata=b"Name: demo\n"
        )
        made.add_file("elsewhere", filename="elsewhere-1.0-py3-none-any.whl", upload_time="2020-01-01T00:00:00Z")
        yield made


def settings(upstream: str, home: Path, **web: Any) -> Settings:
    return Settings(farm=FarmSection(home=home), upstream=UpstreamSection(index_url=upstream), web=WebSection(**web))


def copies_of(upstream: str, home: Path, *, fresh_s: float = 0.0, rest_s: float = 0.0) -> Copies:
    found = settings(upstream, home)
    return Copies(found, found.upstream_pages, fresh_s=fresh_s, rest_s=rest_s)


@pytest.fixture
def copies(upstream: FakeUpstream, tmp_path: Path) -> Iterator[Copies]:
    """Copies that are asked about each time."""
    made = copies_of(upstream.url, tmp_path)
    yield made
    made.close()


def reader(site: Path, copies: Copies | None) -> Reader:
    app = Flask("sample")
    app.wsgi_app = Index(app.wsgi_app, site, None, copies)  # type: ignore[assignment, method-assign]
    app.test_client_class = Reader
    made = app.test_client()
    assert isinstance(made, Reader)
    return made


@pytest.fixture
def client(site: Path, copies: Copies) -> Reader:
    return reader(site, copies)


def page(client: Reader, path: str) -> Any:
    response = client.get(path, headers={"Accept": JSON})
    return response.get_json(force=True) if response.status_code == 200 else response.status_code


def entries(found: Any) -> dict[str, Any]:
    assert not isinstance(found, int), found
    return {entry["filename"]: entry for entry in found["files"]}


def asked(upstream: FakeUpstream, name: str = "demo") -> int:
    return sum(path == f"/simple/{name}/" for path, _ in upstream.requests)


def test_both_sides_files_are_on_one_page_and_ours_wins(client: Reader, upstream: FakeUpstream) -> None:
    found = page(client, "/merged/simple/demo/")

    ours, files = entries(page(client, "/simple/demo/")), entries(found)
    assert files.keys() == ours.keys() | {SDIST, "demo-2.5-cp39-abi3-win_amd64.whl"}
    assert len(found["files"]) == len(files)
    assert files[WHEEL]["hashes"] == ours[WHEEL]["hashes"] != {"sha256": upstream.file("demo", WHEEL).sha256}
    assert found["versions"] == ["1.0", "1.1", "2.0", "2.5", "3.0"]
    assert (found["name"], found["meta"]) == ("demo", {"api-version": "1.4"})


def test_upstreams_files_stand_as_they_are_there(client: Reader, upstream: FakeUpstream) -> None:
    files = entries(page(client, "/merged/simple/demo/"))

    assert files[SDIST] == {
        "filename": SDIST,
        "url": f"{upstream.root}/files/demo/{SDIST}",
        "hashes": {"sha256": upstream.file("demo", SDIST).sha256},
        "yanked": False,
        "size": len(upstream.file("demo", SDIST).data),
        "upload-time": "2020-02-02T00:00:00Z",
        "requires-python": ">=3.8",
    }
    windows = files["demo-2.5-cp39-abi3-win_amd64.whl"]
    assert (windows["yanked"], list(windows["core-metadata"])) == ("broken: <b>", ["sha256"])
    text = client.get("/merged/simple/demo/", headers={"Accept": "text/html"}).text
    assert 'data-yanked="broken: &lt;b&gt;"' in text
    assert 'data-requires-python="&gt;=3.8"' in text


@pytest.mark.parametrize("path", ["/merged/simple/demo/", f"/tested/{HERE.view}/merged/simple/demo/"])
def test_links_lead_to_our_files(path: str, client: Reader) -> None:
    link = urljoin(path, entries(page(client, path))[WHEEL]["url"])

    assert client.head(link).status_code == 200


def test_a_project_that_only_the_upstream_has_is_there(client: Reader) -> None:
    assert list(entries(page(client, "/merged/simple/elsewhere/"))) == ["elsewhere-1.0-py3-none-any.whl"]


def test_a_project_that_the_upstream_has_not_is_404_although_we_have_wheels(client: Reader) -> None:
    assert page(client, "/simple/app/") != 404
    assert page(client, "/merged/simple/app/") == 404


def test_a_project_that_went_away_upstream_goes_here(client: Reader, upstream: FakeUpstream, copies: Copies) -> None:
    entries(page(client, "/merged/simple/demo/"))
    upstream.remove_project("demo")

    assert page(client, "/merged/simple/demo/") == 404
    assert not (copies.folder / "demo.json").exists()


def test_a_quarantined_project_offers_nothing(client: Reader, upstream: FakeUpstream) -> None:
    upstream.statuses["demo"] = ("quarantined", "malware")

    found = page(client, "/merged/simple/demo/")

    assert (found["files"], found["versions"]) == ([], [])
    assert found["project-status"] == {"status": "quarantined", "reason": "malware"}


def test_a_view_and_filters_choose_among_our_files_and_an_age_among_all(client: Reader, upstream: FakeUpstream) -> None:
    upstream.add_file("native", filename="native-1.0.tar.gz", upload_time="2020-01-01T00:00:00Z")
    upstream.add_file("native", filename="native-2.0.tar.gz", upload_time="2999-01-01T00:00:00Z")
    upstream.add_file("native", filename="native-3.0.tar.gz")

    portable = entries(page(client, "/merged/simple/native/"))
    here = entries(page(client, f"/{HERE.view}/merged/simple/native/"))
    aged = page(client, f"/age/1d/{HERE.view}/merged/simple/native/")
    reproducible = entries(page(client, f"/reproducible/{HERE.view}/merged/simple/native/"))

    [ours] = here.keys() - portable.keys()
    assert ours.endswith(f"linux_{HERE.arch}.whl")
    assert entries(aged).keys() == {ours, "native-1.0.tar.gz"}
    assert aged["versions"] == ["1.0"]
    assert reproducible.keys() == portable.keys()


def test_an_upstream_that_speaks_html_only_promises_no_sizes(client: Reader, upstream: FakeUpstream) -> None:
    upstream.html_only = True

    found = page(client, "/merged/simple/elsewhere/")

    assert found["meta"] == {"api-version": "1.0"}
    assert '<meta name="pypi:repository-version" content="1.0">' in client.get("/merged/simple/elsewhere/").text


def test_who_has_a_merged_page_gets_304(client: Reader) -> None:
    headers = {"Accept": JSON, "Accept-Encoding": "gzip"}
    first = client.get("/merged/simple/demo/", headers=headers)

    again = client.get("/merged/simple/demo/", headers={**headers, "If-None-Match": first.headers["ETag"]})

    assert (again.status_code, first.headers["Cache-Control"]) == (304, "public, max-age=60")
    assert first.headers["Vary"] == "Accept, Accept-Encoding"


def test_the_upstream_is_asked_with_its_etag_and_not_again_within_a_while(
    upstream: FakeUpstream, site: Path, tmp_path: Path
) -> None:
    stale, fresh = copies_of(upstream.url, tmp_path), copies_of(upstream.url, tmp_path, fresh_s=3600)
    for copies in (stale, stale, fresh, fresh):
        entries(page(reader(site, copies), "/merged/simple/demo/"))
    stale.close()

    first, second = [headers for path, headers in upstream.requests if path == "/simple/demo/"]
    assert "if-none-match" not in first
    assert second["if-none-match"]


def test_news_are_seen_when_a_page_is_asked_about_again(client: Reader, upstream: FakeUpstream) -> None:
    before = entries(page(client, "/merged/simple/demo/"))
    upstream.add_file("demo", filename="demo-4.0.tar.gz")

    assert entries(page(client, "/merged/simple/demo/")).keys() - before.keys() == {"demo-4.0.tar.gz"}


def test_the_last_good_page_is_served_while_the_upstream_is_away(
    upstream: FakeUpstream, site: Path, tmp_path: Path
) -> None:
    with FakeUpstream() as mortal:
        mortal.projects = upstream.projects
        copies = copies_of(mortal.url, tmp_path)
        good = entries(page(reader(site, copies), "/merged/simple/demo/"))
        copies.close()
        url = mortal.url

    restarted = reader(site, copies_of(url, tmp_path))

    assert entries(page(restarted, "/merged/simple/demo/")) == good
    response = restarted.get("/merged/simple/elsewhere/", headers={"Accept": JSON})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "15")
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500}, {"status": 403}, {"status": 302, "headers": {"Location": "ftp://127.0.0.1/"}},
        {"body": b"{", "content_type": JSON}, {"body": b"<html>", "content_type": "image/png"},
        {"body": b'{"name":"other","files":[]}', "content_type": JSON}, {"chunks": (b"x" * 2**20 for _ in range(60))},
        {"body": b'{"meta":{"api-version":"2.0"},"name":"demo","files":[]}', "content_type": JSON},
    ],
)  # fmt: skip
def test_an_answer_that_is_no_page_changes_nothing(
    fault: dict[str, Any], client: Reader, upstream: FakeUpstream
) -> None:
    good = entries(page(client, "/merged/simple/demo/"))
    upstream.fail("demo", **fault)

    assert entries(page(client, "/merged/simple/demo/")) == good
    upstream.mend()
    upstream.remove_file("demo", SDIST)
    assert SDIST not in entries(page(client, "/merged/simple/demo/"))


@pytest.mark.parametrize(
    "entry",
    [
        {"filename": "demo-9.tar.gz", "url": "javascript:alert(1)"},
        {"filename": "demo-9.tar.gz", "url": "file:///etc/passwd"},
        {"filename": "demo-9.tar.gz", "url": "https://user:secret@127.0.0.1/demo-9.tar.gz"},
        {"filename": "other-9.tar.gz", "url": "https://files.example/other-9.tar.gz"},
        {"filename": "../demo-9.tar.gz", "url": "https://files.example/demo-9.tar.gz"},
        {"filename": 'demo-9"><script>.tar.gz', "url": "https://files.example/x"},
        {"filename": 7, "url": []},
        "demo-9.tar.gz",
    ],
)
def test_what_is_no_file_of_the_project_is_left_out(entry: Any, client: Reader, upstream: FakeUpstream) -> None:
    good = {"filename": "elsewhere-9.tar.gz", "url": "https://files.example/elsewhere-9.tar.gz"}
    if isinstance(entry, dict) and isinstance(entry["filename"], str):
        entry = {**entry, "filename": entry["filename"].replace("demo", "elsewhere")}
    body = {"meta": {"api-version": "1.0"}, "name": "elsewhere", "files": [entry, good]}
    upstream.fail("elsewhere", body=json.dumps(body).encode(), content_type=JSON)

    assert list(entries(page(client, "/merged/simple/elsewhere/"))) == ["elsewhere-9.tar.gz"]


def test_many_who_ask_at_once_are_one_request(upstream: FakeUpstream, site: Path, tmp_path: Path) -> None:
    upstream.fail("demo", drip_s=0.0002)  # slow enough that all of them meet
    copies = copies_of(upstream.url, tmp_path, fresh_s=3600)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(page(reader(site, copies), "/merged/simple/demo/")))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    copies.close()

    assert [len(entries(item)) for item in found] == [5] * 12
    assert asked(upstream) == 1


def test_who_asks_while_another_does_gets_the_copy_at_once(
    client: Reader, upstream: FakeUpstream, copies: Copies
) -> None:
    entries(page(client, "/merged/simple/demo/"))
    with copies._turn("demo", is_patient=True):
        assert SDIST in entries(page(client, "/merged/simple/demo/"))

    assert asked(upstream) == 1


def test_an_upstream_that_asks_for_a_rest_gets_it(upstream: FakeUpstream, client: Reader) -> None:
    entries(page(client, "/merged/simple/demo/"))
    upstream.fail("*", status=429, headers={"Retry-After": "600"})
    page(client, "/merged/simple/demo/")
    before = len(upstream.requests)

    assert SDIST in entries(page(client, "/merged/simple/demo/"))
    assert page(client, "/merged/simple/elsewhere/") == 503
    assert len(upstream.requests) == before


def test_one_page_that_fails_does_not_stop_the_others_but_two_in_a_row_do(
    upstream: FakeUpstream, site: Path, tmp_path: Path
) -> None:
    copies = copies_of(upstream.url, tmp_path, rest_s=600)
    client = reader(site, copies)
    upstream.fail("demo", status=500)

    assert page(client, "/merged/simple/demo/") == 503
    entries(page(client, "/merged/simple/elsewhere/"))
    upstream.fail("*", status=500)
    assert [page(client, f"/merged/simple/{name}/") for name in ("demo", "app")] == [503, 503]
    upstream.mend()
    before = copies._rest_until
    assert page(client, "/merged/simple/demo/") == 503
    assert copies._rest_until == before  # it ends, however many go on asking
    copies._rest_until = 0.0
    entries(page(client, "/merged/simple/demo/"))
    copies.close()


def test_a_name_that_the_upstream_has_not_is_asked_for_once_in_a_while(upstream: FakeUpstream, tmp_path: Path) -> None:
    copies = copies_of(upstream.url, tmp_path, fresh_s=3600)
    for _ in range(3):
        with pytest.raises(UnknownProjectError):
            copies.page("nothing")  # type: ignore[arg-type]
    copies.close()

    assert asked(upstream, "nothing") == 1


def test_so_many_wait_and_no_more(copies: Copies) -> None:
    while copies._waiting.acquire(blocking=False):
        pass

    with pytest.raises(UpstreamError, match="too many"):
        copies.page("demo")  # type: ignore[arg-type]


def test_what_is_kept_is_bounded_and_the_longest_unasked_go_first(copies: Copies) -> None:
    copies.folder.mkdir(parents=True)
    for number in range(10):
        file = copies.folder / f"p{number}.json"
        file.write_bytes(b"x" * 1000)
        at = time.time() - 100 + number
        os.utime(file, (at, at))

    copies.sweep(most_pages=8, most_bytes=10_000)
    left = sorted(path.name for path in copies.folder.glob("*.json"))
    copies.sweep(most_pages=8, most_bytes=3_500)

    assert left == [f"p{number}.json" for number in range(2, 10)]
    assert sorted(path.name for path in copies.folder.glob("*.json")) == ["p7.json", "p8.json", "p9.json"]


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"format":0}'])
def test_a_broken_copy_is_fetched_anew(broken: bytes, copies: Copies, client: Reader) -> None:
    copies.folder.mkdir(parents=True)
    (copies.folder / "demo.json").write_bytes(broken)

    assert SDIST in entries(page(client, "/merged/simple/demo/"))


def test_a_folder_that_takes_nothing_is_503(upstream: FakeUpstream, site: Path, tmp_path: Path) -> None:
    (tmp_path / "upstream-pages").write_text("a file in its place")

    assert page(reader(site, copies_of(upstream.url, tmp_path)), "/merged/simple/demo/") == 503


def test_a_full_disk_is_503_and_nothing_half_written_stays(
    upstream: FakeUpstream, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)  # what pathlib calls differs between the versions of Python
    monkeypatch.setattr(os, "replace", full)

    assert page(reader(site, copies_of(upstream.url, tmp_path)), "/merged/simple/demo/") == 503
    assert [path.name for path in (tmp_path / "upstream-pages").iterdir() if not path.name.startswith(".lock")] == []


def test_an_upstream_behind_a_password_is_not_shown(upstream: FakeUpstream, site: Path, tmp_path: Path) -> None:
    with_login = upstream.url.replace("http://", "http://me:secret@")
    response = reader(site, copies_of(with_login, tmp_path)).get("/merged/simple/demo/")

    assert response.status_code == 503
    assert "secret" not in response.text
    assert upstream.requests == []


def test_where_it_is_switched_off_there_is_no_such_view(site: Path) -> None:
    assert page(reader(site, None), "/merged/simple/demo/") == 404


def test_its_list_of_projects_is_the_farms(client: Reader, upstream: FakeUpstream) -> None:
    assert page(client, f"/{HERE.view}/merged/simple/") == page(client, f"/{HERE.view}/simple/")
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/merged/simple/Demo/", "/merged/simple/demo/"),
        (f"/{HERE.view}//merged/simple//demo/", f"/{HERE.view}/merged/simple/demo/"),
    ],
)
def test_another_spelling_redirects(path: str, target: str, client: Reader) -> None:
    assert client.ask(path).headers["Location"] == target
