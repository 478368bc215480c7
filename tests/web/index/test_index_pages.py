"""The pages over HTTP: forms, headers, conditional requests, compression."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests import sample_site, zstd
from tests.sample_site import HERE
from web.shelf import TRUSTED_S

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PAGES = ["/simple/", "/simple/demo/", f"/{HERE.view}/simple/", f"/{HERE.view}/simple/native/"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        (HTML, HTML),
        ("application/vnd.pypi.simple.latest+html", HTML),
        ("text/html", "text/html"),
        ("*/*", "text/html"),
        ("", "text/html"),
    ],
)
def test_a_page_comes_in_the_form_asked_for_with_exactly_its_type(
    path: str, accept: str, expected: str, client: FlaskClient, site: Path
) -> None:
    response = client.get(path, headers={"Accept": accept})

    assert (response.status_code, response.headers["Content-Type"]) == (200, expected)
    assert response.data == (site / path.strip("/") / f"index.{expected[-4:]}").read_bytes()


def test_no_accept_header_takes_anything(client: FlaskClient) -> None:
    response = client.get("/simple/demo/")

    assert response.headers["Content-Type"] == "text/html"


@pytest.mark.parametrize("path", PAGES)
def test_nothing_acceptable_is_406_and_says_what_there_is(path: str, client: FlaskClient) -> None:
    response = client.get(path, headers={"Accept": "application/vnd.pypi.simple.v2+json"})

    assert response.status_code == 406
    assert JSON in response.text
    assert response.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"format={JSON}", JSON),  # its plus arrives as a space
        ("format=application/vnd.pypi.simple.v1%2Bjson", JSON),
        ("format=application/vnd.pypi.simple.latest%2Bhtml", HTML),
        ("format=text/html", "text/html"),
    ],
)
def test_a_format_in_the_query_beats_accept(query: str, expected: str, client: FlaskClient) -> None:
    response = client.get(f"/simple/demo/?{query}", headers={"Accept": "image/png"})

    assert (response.status_code, response.headers["Content-Type"]) == (200, expected)


def test_an_unknown_format_is_406(client: FlaskClient) -> None:
    assert client.get("/simple/demo/?format=json", headers={"Accept": JSON}).status_code == 406


@pytest.mark.parametrize("path", [*PAGES, f"/constraints/{HERE}.txt"])
@pytest.mark.parametrize("encoding", ["gzip, deflate", "identity"])
@pytest.mark.parametrize("accept", [JSON, HTML, "text/html"])
def test_who_has_a_page_gets_304_with_the_same_vary(path: str, encoding: str, accept: str, client: FlaskClient) -> None:
    headers = {"Accept": f"{accept}, */*;q=0.1", "Accept-Encoding": encoding}
    first = client.get(path, headers=headers)

    again = client.get(path, headers={**headers, "If-None-Match": first.headers["ETag"]})

    assert not first.headers["ETag"].startswith("W/")
    assert (again.status_code, again.data) == (304, b"")
    for response in (first, again):
        assert response.headers["Vary"] == "Accept, Accept-Encoding"
        assert response.headers["Cache-Control"] == "public, max-age=60"
        assert response.headers["ETag"] == first.headers["ETag"]


def test_each_form_and_encoding_has_an_etag_of_its_own(client: FlaskClient) -> None:
    tags = {
        client.get("/simple/demo/", headers={"Accept": accept, "Accept-Encoding": encoding}).headers["ETag"]
        for accept in (JSON, HTML, "text/html")
        for encoding in ("gzip", "zstd", "identity")
    }

    assert len(tags) == 9


def test_a_site_without_a_compressed_form_is_served_without(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site / "simple/demo", tmp_path / "site/simple/demo")
    here = sample_site.app(tmp_path / "site").test_client()
    headers = {"Accept": JSON, "Accept-Encoding": "gzip, zstd"}

    for gone, left in ((".zst", "gzip"), (".gz", None)):
        (tmp_path / f"site/simple/demo/index.json{gone}").unlink()
        time.sleep(TRUSTED_S)
        assert here.get("/simple/demo/", headers=headers).headers.get("Content-Encoding") == left


def test_another_etag_gets_the_page(client: FlaskClient) -> None:
    assert client.get("/simple/demo/", headers={"If-None-Match": '"something-else"'}).status_code == 200


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.1, gzip", "gzip"),
        ("gzip;q=0, identity", None),
        ("br", None),
        ("", None),
    ],
)
def test_compressed_pages_go_to_those_who_take_them(
    encoding: str, compressed: str | None, client: FlaskClient, site: Path
) -> None:
    response = client.get("/simple/demo/", headers={"Accept": JSON, "Accept-Encoding": encoding})

    unpack: dict[str | None, Callable[[bytes], bytes]]
    unpack = {"gzip": gzip.decompress, "zstd": zstd.decompress, None: bytes}
    data = unpack[compressed](response.data)
    assert response.headers.get("Content-Encoding") == compressed
    assert int(response.headers["Content-Length"]) == len(response.data)
    assert data == (site / "simple/demo/index.json").read_bytes()


@pytest.mark.parametrize("path", [*PAGES, f"/constraints/{HERE}.txt", "/authority.pem"])
def test_head_gives_the_headers_of_get(path: str, client: FlaskClient) -> None:
    got, head = client.get(path), client.head(path)

    assert head.data == b""
    assert {key: value for key, value in head.headers.items() if key != "Date"} == {
        key: value for key, value in got.headers.items() if key != "Date"
    }


@pytest.mark.parametrize(
    "path",
    [
        "/simple/no-such-project/",
        f"/{HERE.view}/simple/no-such-project/",
        "/debian10-x86_64/simple/demo/",
        "/simple/native/",  # its wheel is for one distribution
        "/simple/bad/",  # quarantined upstream
        "/simple/demo/index.json/",
        "/files/demo-9.9-py3-none-any.whl",
        "/files/demo-9.9-py3-none-any.whl.metadata",
        "/constraints/debian10-x86_64-cp37.txt",
    ],
)
def test_what_is_not_there_is_a_short_404(path: str, client: FlaskClient) -> None:
    response = client.get(path)

    assert response.status_code == 404
    assert len(response.data) < 100
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "status"),
    [(PAGES[0], 200), (PAGES[1], 200), ("/simple/nothing/", 404), ("/simple/Demo/", 301), ("/simple/demo", 301)],
)
def test_nothing_in_a_page_can_run_in_a_browser(path: str, status: int, client: FlaskClient) -> None:
    response = client.get(path)

    assert response.status_code == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_a_page_written_anew_is_seen_within_a_moment(client: FlaskClient, site: Path, tmp_path: Path) -> None:
    shutil.copytree(site / "simple/demo", tmp_path / "site/simple/demo")
    page = tmp_path / "site/simple/demo/index.json"
    here = sample_site.app(tmp_path / "site").test_client()
    first = here.get("/simple/demo/", headers={"Accept": JSON})

    (tmp_path / "new").write_bytes(first.data.replace(b"1.1", b"1.2"))
    os.replace(tmp_path / "new", page)  # noqa: PTH105 - as the master does it
    time.sleep(TRUSTED_S)
    second = here.get("/simple/demo/", headers={"Accept": JSON, "If-None-Match": first.headers["ETag"]})

    assert client.get("/simple/demo/").status_code == 200
    assert second.status_code == 200
    assert second.data == page.read_bytes()
    assert second.headers["ETag"] != first.headers["ETag"]


def test_a_farm_that_has_rendered_nothing_yet_answers_404(tmp_path: Path) -> None:
    client = sample_site.app(tmp_path / "nowhere").test_client()

    assert {client.get(path).status_code for path in (*PAGES, "/authority.pem")} == {404}


def test_constraints_are_plain_text(client: FlaskClient) -> None:
    response = client.get(f"/constraints/{HERE}.txt")

    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.text.splitlines()[1:] == ["# 2.0 is failed: no gcc", "held<=1.0"]


def test_the_authority_is_served(client: FlaskClient) -> None:
    assert client.get("/authority.pem").text.startswith("-----BEGIN CERTIFICATE-----")


def test_pages_cannot_be_written_to(client: FlaskClient) -> None:
    for path in PAGES:
        assert client.post(path).status_code == 405
