"""The index's checklist, one test an id, against the real front-end (I-26 needs https and is the proxy's affair)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import zipfile
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from packaging.metadata import Metadata
from packaging.version import Version

from tests.sample_site import HERE, YANKED_BECAUSE
from tests.web.conformance.conftest import Answer, Server

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
TYPES = (JSON, HTML, "text/html")
PROJECTS = ("app", "big", "demo", "held", "lib", "mixed-name", "old", "plus")


def page(server: Server, path: str) -> Any:
    answer = server.get(path, accept=JSON)
    assert answer.status == 200, path
    return json.loads(answer.body)


def anchors(answer: Answer) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "a":
                found.append({name: value or "" for name, value in attrs})

    Reader().feed(answer.body.decode())
    return found


def every_file(server: Server) -> list[dict[str, Any]]:
    return [entry for name in PROJECTS for entry in page(server, f"/simple/{name}/")["files"]]


def wheel(server: Server, entry: dict[str, Any], *, below: str = "/simple/name/", suffix: str = "") -> Answer:
    return server.get(urljoin(below, entry["url"]) + suffix)


def test_i_01_any_spelling_of_a_name_leads_to_its_page(server: Server) -> None:
    for spelling in ("Mixed.Name", "mixed_name", "MIXED--name"):
        redirect = server.get(f"/simple/{spelling}/")
        assert (redirect.status, redirect.headers["location"]) == (301, "/simple/mixed-name/")
    assert server.get("/simple/mixed-name/").status == 200


def test_i_02_a_missing_slash_redirects_and_doubled_ones_collapse(server: Server) -> None:
    for asked, answered in (
        ("/simple", "/simple/"),
        ("/simple/demo", "/simple/demo/"),
        ("/simple//demo/", "/simple/demo/"),
        (f"/{HERE.view}/simple//demo", f"/{HERE.view}/simple/demo/"),
    ):
        redirect = server.get(asked + "?format=text/html")
        assert (redirect.status, redirect.headers["location"]) == (301, answered + "?format=text/html")


def test_i_03_an_unknown_project_is_404(server: Server) -> None:
    for accept in (*TYPES, "*/*", "application/vnd.pypi.simple.v2+json"):
        answer = server.get("/simple/never-heard-of/", accept=accept)
        assert answer.status == (406 if "v2" in accept else 404)
        assert len(answer.body) < 200


def test_i_04_the_content_type_is_exactly_one_of_three(server: Server) -> None:
    for path in ("/simple/", "/simple/demo/", f"/{HERE.view}/simple/native/"):
        for accept in TYPES:
            assert server.get(path, accept=accept).headers["content-type"] == accept


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
        (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", JSON),
        (f"{JSON}, */*;q=0.1", JSON),
        ("text/html", "text/html"),
        ("*/*", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        (f"text/html, {JSON}", JSON),
        (f"{JSON};q=0, */*", "text/html"),
        (JSON.title(), JSON),
    ],
)
def test_i_05_q_values_decide(accept: str, expected: str, server: Server) -> None:
    assert server.get("/simple/demo/", accept=accept).headers["content-type"] == expected


def test_i_06_latest_is_answered_as_the_concrete_version(server: Server) -> None:
    for kind, expected in (("json", JSON), ("html", HTML)):
        answer = server.get("/simple/demo/", accept=f"application/vnd.pypi.simple.latest+{kind}")
        assert (answer.status, answer.headers["content-type"]) == (200, expected)


def test_i_07_nothing_acceptable_is_406_and_no_accept_takes_anything(server: Server) -> None:
    assert server.get("/simple/demo/", accept="application/vnd.pypi.simple.v2+json").status == 406
    assert server.get("/simple/demo/", accept="").headers["content-type"] == "text/html"
    assert server.get("/simple/demo/").headers["content-type"] == "text/html"


def test_i_08_a_format_in_the_query_beats_accept(server: Server) -> None:
    answer = server.get(f"/simple/demo/?format={JSON.replace('+', '%2B')}", accept="text/html")
    assert answer.headers["content-type"] == JSON
    assert server.get("/simple/demo/?format=json", accept=JSON).status == 406


def test_i_09_vary_names_both_headers_on_200_and_304(server: Server) -> None:
    for path in ("/simple/", "/simple/demo/"):
        first = server.get(path, accept=JSON)
        again = server.get(path, accept=JSON, if_none_match=first.headers["etag"])
        assert (first.status, again.status) == (200, 304)
        for answer in (first, again):
            assert {item.strip().lower() for item in answer.headers["vary"].split(",")} == {"accept", "accept-encoding"}


def test_i_10_pages_have_strong_etags_and_a_short_life(server: Server) -> None:
    for accept in TYPES:
        for encoding in ("gzip", "identity"):
            first = server.get("/simple/demo/", accept=accept, accept_encoding=encoding)
            etag = first.headers["etag"]
            assert re.fullmatch(r'"[^"]+"', etag)
            assert first.headers["cache-control"] == "public, max-age=60"
            again = server.get("/simple/demo/", accept=accept, accept_encoding=encoding, if_none_match=f'"x", {etag}')
            assert (again.status, again.body) == (304, b"")


def test_i_11_the_api_version_is_told_in_both_forms(server: Server) -> None:
    for path in ("/simple/", "/simple/demo/"):
        assert page(server, path)["meta"]["api-version"] == "1.4"
        assert b'<meta name="pypi:repository-version" content="1.4">' in server.get(path, accept=HTML).body


def test_i_12_json_has_name_versions_and_sizes(server: Server) -> None:
    for name in PROJECTS:
        data = page(server, f"/simple/{name}/")
        assert data["name"] == name
        assert len(set(data["versions"])) == len(data["versions"])
        for entry in data["files"]:
            assert entry["filename"].split("-")[1] in data["versions"]
            assert type(entry["size"]) is int
            assert entry["size"] == len(wheel(server, entry).body)


def test_i_13_each_file_has_the_instant_of_its_publishing(server: Server) -> None:
    for entry in every_file(server):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", entry["upload-time"])
        assert entry["upload-time"] == "2026-11-20T10:30:00.123456Z"


def test_i_14_the_sha256_is_the_files(server: Server) -> None:
    for name in PROJECTS:
        by_name = {entry["filename"]: entry for entry in page(server, f"/simple/{name}/")["files"]}
        for anchor in anchors(server.get(f"/simple/{name}/", accept="text/html")):
            url = urlsplit(anchor["href"])
            body = server.get(urljoin("/simple/name/", url.path)).body
            digest = hashlib.sha256(body).hexdigest()
            entry = next(item for item in by_name.values() if item["url"] == url.path)
            assert url.fragment == f"sha256={digest}"
            assert entry["hashes"] == {"sha256": digest}


def test_i_15_the_sidecar_is_the_metadata_inside_the_wheel(server: Server) -> None:
    for entry in every_file(server):
        sidecar = wheel(server, entry, suffix=".metadata")
        with zipfile.ZipFile(io.BytesIO(wheel(server, entry).body)) as archive:
            member = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            assert sidecar.body == archive.read(member)
        assert entry["core-metadata"] == {"sha256": hashlib.sha256(sidecar.body).hexdigest()}


def test_i_16_json_never_has_dist_info_metadata_and_html_has_both_alike(server: Server) -> None:
    for name in PROJECTS:
        assert b"dist-info-metadata" not in server.get(f"/simple/{name}/", accept=JSON).body
        for anchor in anchors(server.get(f"/simple/{name}/", accept=HTML)):
            assert anchor["data-core-metadata"] == anchor["data-dist-info-metadata"]
            assert re.fullmatch(r"sha256=[0-9a-f]{64}", anchor["data-core-metadata"])


def test_i_17_requires_python_is_the_metadatas_and_escaped(server: Server) -> None:
    for entry in every_file(server):
        metadata = Metadata.from_email(wheel(server, entry, suffix=".metadata").body)
        wanted = None if metadata.requires_python is None else str(metadata.requires_python)
        assert entry.get("requires-python") == wanted
    assert b'data-requires-python="&gt;=3.99"' in server.get("/simple/demo/", accept=HTML).body


def test_i_18_a_file_yanked_upstream_is_yanked_with_its_reason(server: Server) -> None:
    yanked = {entry["filename"]: entry["yanked"] for entry in page(server, "/simple/demo/")["files"]}
    assert yanked == {
        "demo-1.0-py3-none-any.whl": False,
        "demo-1.1-py3-none-any.whl": YANKED_BECAUSE,
        "demo-2.0-py3-none-any.whl": False,
    }
    reasons = [item.get("data-yanked") for item in anchors(server.get("/simple/demo/", accept="text/html"))]
    assert reasons == [None, YANKED_BECAUSE, None]


def test_i_19_a_quarantined_project_offers_nothing_and_is_not_listed(server: Server) -> None:
    assert server.get("/simple/bad/", accept=JSON).status == 404
    assert server.get("/files/bad-1.0-py3-none-any.whl").status == 404
    assert "bad" not in {item["name"] for item in page(server, "/simple/")["projects"]}


def test_i_20_an_archived_project_says_so_at_the_top_level(server: Server) -> None:
    data = page(server, "/simple/old/")
    assert data["project-status"] == {"status": "archived"}
    assert "project-status" not in data["meta"]
    assert b'<meta name="pypi:project-status" content="archived">' in server.get("/simple/old/", accept=HTML).body


def test_i_21_provenance_is_an_absolute_url_that_answers(server: Server) -> None:
    for entry in every_file(server):
        assert entry["provenance"].startswith(server.url)
        assert json.loads(server.get(urlsplit(entry["provenance"]).path).body)["version"] == 1


def test_i_22_files_may_be_kept_for_ever(server: Server) -> None:
    for suffix in ("", ".metadata", ".provenance"):
        answer = server.get(f"/files/demo-1.0-py3-none-any.whl{suffix}")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_i_23_files_answer_head_and_ranges_and_are_never_compressed(server: Server) -> None:
    path = "/files/big-1.0-py3-none-any.whl"
    whole = server.get(path, accept_encoding="gzip, deflate, br, zstd")
    head = server.get(path, method="HEAD")
    part = server.get(path, range="bytes=-1000")
    beyond = server.get(path, range="bytes=999999999-")

    assert "content-encoding" not in whole.headers
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.body))
    assert head.headers["accept-ranges"] == "bytes"
    assert (part.status, part.body) == (206, whole.body[-1000:])
    assert part.headers["content-range"] == f"bytes {len(whole.body) - 1000}-{len(whole.body) - 1}/{len(whole.body)}"
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.body)}")


def test_i_24_pages_are_compressed_for_those_who_take_it(server: Server) -> None:
    for path in ("/simple/", "/simple/demo/"):
        for accept in TYPES:
            plain = server.get(path, accept=accept)
            small = server.get(path, accept=accept, accept_encoding="gzip, deflate")
            assert "content-encoding" not in plain.headers
            assert small.headers["content-encoding"] == "gzip"
            assert gzip.decompress(small.body) == plain.body


def test_i_25_the_root_lists_each_project_once(server: Server) -> None:
    projects = page(server, "/simple/")["projects"]
    assert [item["name"] for item in projects] == list(PROJECTS)
    assert [item["href"] for item in anchors(server.get("/simple/", accept="text/html"))] == [
        f"{name}/" for name in PROJECTS
    ]


def test_i_27_nothing_of_rejected_or_reserved_standards_appears(server: Server) -> None:
    for path in ("/simple/", *(f"/simple/{name}/" for name in PROJECTS)):
        for accept in TYPES:
            body = server.get(path, accept=accept).body
            for word in (b"tracks", b"alternate-locations", b"namespace", b"gpg-sig"):
                assert word not in body


def test_i_28_no_page_needs_the_database(server: Server) -> None:
    # This server's database was never reachable, and yet all of the above is served; people's pages are another matter.
    started = datetime.now(UTC)
    for path in ("/simple/", "/simple/demo/", "/simple/nothing/", f"/constraints/{HERE}.txt", "/authority.pem"):
        assert server.get(path).status < 500
    assert datetime.now(UTC) - started < timedelta(seconds=5)
    assert server.get("/search?q=demo").status >= 500 or server.get("/").status >= 500


def test_s_10_a_view_offers_no_name_that_the_portable_index_may_not(server: Server) -> None:
    everywhere = {item["name"] for item in page(server, "/simple/")["projects"]}
    here = {item["name"] for item in page(server, f"/{HERE.view}/simple/")["projects"]}
    assert here - everywhere == {"native"}
    assert Version(page(server, f"/{HERE.view}/simple/native/")["versions"][0]) == Version("1.0")
