"""The negotiation box of I-05, as real clients send it."""

from __future__ import annotations

import pytest

from web import accept
from web.accept import Form

J, H, T = Form.JSON, Form.HTML, Form.LEGACY
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(f"{J}, {H}; q=0.1, {T}; q=0.01", J, id="pip from 22.2 on, and pdm"),
        pytest.param(f"{J}, {H};q=0.2, {T};q=0.01", J, id="uv"),
        pytest.param(f"{J}, */*;q=0.1", J, id="poetry"),
        pytest.param(T, T, id="pip before 22.2"),
        pytest.param("*/*", T, id="curl and pipenv"),
        pytest.param(None, T, id="no header"),
        pytest.param("", T, id="an empty header"),
        pytest.param("  ", T, id="a blank header"),
        pytest.param(BROWSER, T, id="a browser"),
        pytest.param(f"{T}, {J}", J, id="equal weights: the most featureful"),
        pytest.param(f"{T};q=0.5, {J};q=0.5, {H};q=0.5", J, id="three equal weights"),
        pytest.param(f"{T}, {H}", H, id="v1+html before text/html"),
        pytest.param("application/vnd.pypi.simple.latest+json", J, id="latest+json"),
        pytest.param("application/vnd.pypi.simple.latest+html", H, id="latest+html"),
        pytest.param(f"{T}, application/vnd.pypi.simple.latest+json", J, id="latest+json among equals"),
        pytest.param(f"{J};q=0, application/vnd.pypi.simple.latest+json", None, id="latest does not revive a refusal"),
        pytest.param(f"{J};q=0, */*", T, id="JSON refused"),
        pytest.param("application/vnd.pypi.simple.v2+json", None, id="a version to come"),
        pytest.param(f"application/vnd.pypi.simple.v2+json, {H};q=0.1", H, id="a version to come, or HTML"),
        pytest.param("Application/Vnd.PyPI.Simple.V1+JSON", J, id="any case"),
        pytest.param(f"{J};charset=utf-8", J, id="a parameter that says nothing"),
        pytest.param("text/html; charset=utf-8; q=0.3, */*;q=0.1", T, id="a parameter before the weight"),
        pytest.param("text/*", T, id="text/*"),
        pytest.param("application/*", J, id="application/*"),
        pytest.param(f"{J}, */*", J, id="named before unnamed"),
        pytest.param(f"{H}, */*", H, id="named before unnamed, HTML"),
        pytest.param("*/*;q=0", None, id="nothing at all"),
        pytest.param("image/png", None, id="not ours"),
        pytest.param(f"{J};q=0.2, {T};q=0.9", T, id="the weight decides"),
        pytest.param(f"{J};q=nonsense, {T};q=0.1", T, id="a weight that is none"),
        pytest.param(f"{J};q=7, {T};q=0.1", T, id="a weight out of bounds"),
        pytest.param(f"{J};q=nan, {T};q=0.1", T, id="a weight that is no number"),
        pytest.param("*;q=0.5", T, id="the star of old Java clients"),
        pytest.param(",;,", T, id="punctuation only"),
        pytest.param("text", None, id="no media range"),
    ],
)
def test_the_form_of_a_page_is_what_the_client_likes_best(header: str | None, expected: Form | None) -> None:
    assert accept.form(header) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (J, J),
        (H, H),
        (T, T),
        ("application/vnd.pypi.simple.v1 json", J),  # a plus in a query is a space
        ("application/vnd.pypi.simple.latest+json", J),
        ("TEXT/HTML", T),
        ("application/vnd.pypi.simple.v2+json", None),
        ("json", None),
        ("*/*", None),
        ("", None),
    ],
)
def test_a_format_in_the_query_names_one_form(text: str, expected: Form | None) -> None:
    assert accept.named_form(text) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, ""),
        ("", ""),
        ("gzip", ".gz"),
        ("gzip, deflate", ".gz"),
        ("gzip, deflate, br, zstd", ".zst .gz"),
        ("zstd;q=0.5, gzip", ".gz .zst"),
        ("zstd;q=0, gzip", ".gz"),
        ("GZip", ".gz"),
        ("x-gzip", ".gz"),
        ("*", ".zst .gz"),
        ("gzip;q=0", ""),
        ("gzip;q=0, *", ".zst"),
        ("identity", ""),
        ("identity;q=0.5, gzip;q=0.4", ""),
        ("identity;q=0.5, gzip;q=0.5", ".gz"),
        ("deflate, br", ""),
        ("gzip;q=0.001", ".gz"),
    ],
)
def test_compressed_forms_are_used_where_the_client_takes_them(header: str | None, expected: str) -> None:
    assert accept.suffixes(header) == (*expected.split(), "")
