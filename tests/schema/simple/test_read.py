from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import NormalizedName
from packaging.version import Version

from schema.errors import UpstreamError
from schema.simple.read import Listed, Page, file_version, parse

DEMO = NormalizedName("demo")
URL = "https://index.example/simple/demo/"
JSON = "application/vnd.pypi.simple.v1+json"
DIGEST = "ab" * 32


def entry(filename: str = "demo-1.0.tar.gz", **fields: Any) -> dict[str, Any]:
    return {"filename": filename, "url": f"/files/{filename}", "hashes": {"sha256": DIGEST}, **fields}


def json_page(*files: Any, **fields: Any) -> Page:
    page = {"meta": {"api-version": "1.1"}, "name": "demo", "files": list(files), **fields}
    return parse(DEMO, json.dumps(page).encode(), content_type=JSON, url=URL)


def html_page(*anchors: str, head: str = "") -> Page:
    text = f"<!DOCTYPE html><html><head>{head}</head><body>{''.join(anchors)}</body></html>"
    return parse(DEMO, text.encode(), content_type="text/html; charset=UTF-8", url=URL)


def only(page: Page) -> Listed:
    (file,) = page.files
    return file


def test_a_json_page_tells_all_that_the_standard_has() -> None:
    page = json_page(
        entry(
            "demo-1.0-py3-none-any.whl",
            size=7,
            yanked="it is broken",
            **{
                "requires-python": ">=3.8",
                "upload-time": "2026-01-02T03:04:05.678901Z",
                "core-metadata": {"sha256": "cd" * 32},
            },
        ),
        **{"project-status": {"status": "archived", "reason": "no time"}},
    )

    assert (page.status, page.status_reason, page.skipped) == ("archived", "no time", 0)
    assert only(page) == Listed(
        filename="demo-1.0-py3-none-any.whl",
        kind="wheel",
        version="1.0",
        url="https://index.example/files/demo-1.0-py3-none-any.whl",
        sha256=DIGEST,  # type: ignore[arg-type]  # a digest written out
        size_bytes=7,
        requires_python=">=3.8",
        yanked="it is broken",
        uploaded_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        metadata_sha256="cd" * 32,  # type: ignore[arg-type]
    )


def test_an_html_page_tells_the_same() -> None:
    page = html_page(
        f'<a href="../../f/demo-1.0.tar.gz#sha256={DIGEST}" data-requires-python="&gt;=3.8" data-yanked="bad &amp; old"'
        ' data-upload-time="2026-01-02T03:04:05Z">whatever it says</a>',
        f'<a href="demo-1.0-py3-none-any.whl" data-core-metadata="sha256={DIGEST}">x</a>',
        head='<meta name="pypi:repository-version" content="1.4">'
        '<meta name="pypi:project-status" content="deprecated">',
    )

    sdist, wheel = page.files
    assert page.status == "deprecated"
    assert (sdist.url, sdist.sha256) == ("https://index.example/f/demo-1.0.tar.gz", DIGEST)
    assert (sdist.requires_python, sdist.yanked) == (">=3.8", "bad & old")
    assert sdist.uploaded_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (wheel.url, wheel.sha256, wheel.metadata_sha256) == (f"{URL}demo-1.0-py3-none-any.whl", None, DIGEST)


def test_a_base_element_moves_relative_links() -> None:
    page = html_page('<a href="demo-1.0.tar.gz">x</a>', head='<base href="https://files.example/x/">')

    assert only(page).url == "https://files.example/x/demo-1.0.tar.gz"


def test_what_pages_have_beside_files_of_the_project_is_left_out_and_counted() -> None:
    page = json_page(
        entry("demo-1.0.tar.gz"),
        entry("demo-1.0.tar.gz"),
        entry("other-1.0.tar.gz"),
        entry("demo-1.0.exe"),
        entry("demo-one.tar.gz"),
        entry("demo-1.0-py3-none.whl"),
        entry("../demo-1.0.zip"),
        entry("demo-2.0.zip", url="ftp://index.example/demo-2.0.zip"),
        entry("demo-2.0.zip", url="https://somebody@index.example/demo-2.0.zip"),
        entry("demo-2.0.zip", url="https://[index.example/demo-2.0.zip"),
        entry("demo-2.0.zip", **{"requires-python": 3}),
        "demo-2.0.zip",
        None,
    )

    assert [file.filename for file in page.files] == ["demo-1.0.tar.gz"]
    assert page.skipped == 12


@pytest.mark.parametrize(
    ("project", "filename", "version"),
    [
        ("foo-bar", "foo-bar-1.0.tar.gz", "1.0"),
        ("foo-bar", "Foo_Bar-1.0.zip", "1.0"),
        ("foo", "foo-1.0-1.tar.gz", "1.0.post1"),
        ("zope-interface", "zope.interface-4.0a1.tar.gz", "4.0a1"),
        ("foo-1", "foo-1-2.0.tar.gz", "2.0"),
        ("pyyaml", "PyYAML-6.0-cp311-cp311-linux_x86_64.whl", "6.0"),
        ("zope-interface", "zope.interface-5.0-py3-none-any.whl", "5.0"),
    ],
)
def test_old_spellings_of_names_are_understood(project: str, filename: str, version: str) -> None:
    assert file_version(NormalizedName(project), filename) == Version(version)


@pytest.mark.parametrize(
    "filename",
    [
        "foo-1.0.linux-x86_64.tar.gz",
        "foo-1.0.tar.bz2",
        "foo.tar.gz",
        "foo-1.0.tar.gz\n",
        "f\u00f6o-1.0.tar.gz",
        "-.zip",
    ],
)
def test_what_is_neither_sdist_nor_wheel_has_no_version(filename: str) -> None:
    assert file_version(NormalizedName("foo"), filename) is None


@pytest.mark.parametrize("hashes", [{}, None, "sha256", {"md5": "00"}, {"sha256": "xyz"}, {"sha256": 7}])
def test_a_file_without_a_sha256_has_none(hashes: object) -> None:
    assert only(json_page(entry(hashes=hashes))).sha256 is None


def test_an_upper_case_digest_is_the_same_digest() -> None:
    assert only(json_page(entry(hashes={"sha256": DIGEST.upper()}))).sha256 == DIGEST


@pytest.mark.parametrize(
    ("said", "understood"), [(False, None), (None, None), (True, ""), ("", ""), ("broken", "broken"), (["x"], "")]
)
def test_a_yank_that_is_neither_yes_nor_no_is_a_yank(said: object, understood: str | None) -> None:
    assert only(json_page(entry(yanked=said))).yanked == understood


@pytest.mark.parametrize("said", [None, "yesterday", "2026-01-02T03:04:05", 7, "0001-01-01T00:00:00+23:59"])
def test_a_time_that_is_none_is_no_time(said: object) -> None:
    page = json_page({**entry(), "upload-time": said})

    assert only(page).uploaded_at is None


@pytest.mark.parametrize("said", [-1, 2**40, True, "7", 7.0])
def test_a_size_that_is_none_is_no_size(said: object) -> None:
    assert only(json_page(entry(size=said))).size_bytes is None


def test_text_that_no_database_takes_is_made_harmless() -> None:
    page = json_page(entry(yanked="a\0b\ud800"), **{"project-status": {"status": "archived", "reason": "\0"}})

    assert (only(page).yanked, page.status_reason) == ("ab?", "")


def test_a_status_that_nobody_knows_counts_as_active() -> None:
    assert json_page(**{"project-status": {"status": "sleeping"}}).status == "active"


def test_the_status_is_found_where_the_specs_example_has_it() -> None:
    page = json_page(meta={"api-version": "1.4", "project-status": {"status": "quarantined"}})

    assert page.status == "quarantined"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", JSON),
        (b"[]", JSON),
        (b'{"files": {}}', JSON),
        (b"[" * 200_000, JSON),
        (b'{"size": ' + b"9" * 10_000 + b"}", JSON),
        (b"\xff\xfe", JSON),
        (b'{"meta": {"api-version": "2.0"}, "files": []}', JSON),
        (b'{"meta": {"api-version": null}, "files": []}', JSON),
        (b'{"meta": {"api-version": "1.1"}, "name": "other", "files": []}', JSON),
        (b'<html><meta name="pypi:repository-version" content="2.0"></html>', "text/html"),
        (b"no HTML at all", "text/html"),
        (b"", "text/html"),
        (b"<html><!--" + b"x" * 500_000, "text/html"),
        (b"<html><![foo[bar", "text/html"),
        (b"<html></html>", "application/pdf"),
        (b"<html></html>", ""),
    ],
)
def test_a_page_that_is_none_is_an_error_of_the_upstream(body: bytes, content_type: str) -> None:
    with pytest.raises(UpstreamError, match="https://index"):
        parse(DEMO, body, content_type=content_type, url=URL)


def test_a_newer_minor_version_is_only_remarked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        page = json_page(entry(), meta={"api-version": "1.777"})

    assert len(page.files) == 1
    assert "1.777" in caplog.text


def test_more_files_than_any_project_has_are_refused() -> None:
    with pytest.raises(UpstreamError, match="no project has so many"):
        parse(DEMO, b"<a href=x>" * 100_001, content_type="text/html", url=URL)


@pytest.mark.parametrize("piece", ["<a ", "<", "<!", "</", "<a b='", "<script>", "&", "<a href=x><b>", "<a a=a"])
def test_hostile_html_costs_no_more_than_its_length(piece: str) -> None:
    body = (piece * (400_000 // len(piece))).encode()

    started = time.monotonic()
    with suppress(UpstreamError):
        parse(DEMO, body, content_type="text/html", url=URL)

    assert time.monotonic() - started < 10


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
KEYS = [
    "filename",
    "url",
    "hashes",
    "requires-python",
    "yanked",
    "size",
    "upload-time",
    "core-metadata",
    "dist-info-metadata",
]


@settings(deadline=None)  # the machine may be busy
@given(
    files=st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES | st.just("demo-1.0.tar.gz")) | VALUES, max_size=4),
    rest=st.dictionaries(st.sampled_from(["meta", "name", "project-status", "files"]), VALUES),
)
def test_any_json_gives_a_page_or_an_error_of_the_upstream(files: list[Any], rest: dict[str, Any]) -> None:
    body = json.dumps({"files": files, **rest}).encode()

    try:
        page = parse(DEMO, body, content_type=JSON, url=URL)
    except UpstreamError:
        return

    assert all(file.url.startswith("http") for file in page.files)


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(
        st.sampled_from(
            ["<a ", "href=", '"demo-1.0.tar.gz#sha256=00"', ">", "<base href=", "'", "<!", "[", "<meta ", "-"]
        )
        | st.text(max_size=8)
    ).map("".join)
)
def test_any_html_gives_a_page_or_an_error_of_the_upstream(text: str) -> None:
    with suppress(UpstreamError):
        parse(DEMO, text.encode("utf-8", "replace"), content_type="text/html", url=URL)
