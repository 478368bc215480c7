"""Wheels and their sidecars over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests import published

BIG = "/files/big-1.0-py3-none-any.whl"


def test_a_wheel_is_octets_that_never_change(client: FlaskClient, site: Path) -> None:
    response = client.get(BIG, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})

    assert response.data == (site / BIG.strip("/")).read_bytes()
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Length"] == str(len(response.data))
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in response.headers
    assert "Content-Disposition" not in response.headers


def test_the_sidecar_is_the_metadata_of_the_wheel(client: FlaskClient, site: Path) -> None:
    response = client.get("/files/app-1.0-py3-none-any.whl.metadata")

    assert response.data == published.metadata_of(site / "files/app-1.0-py3-none-any.whl")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_the_provenance_is_json(client: FlaskClient) -> None:
    response = client.get("/files/app-1.0-py3-none-any.whl.provenance")

    assert json.loads(response.data) == {"version": 1, "of": "app-1.0-py3-none-any.whl"}
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("spelling", ["+", "%2B", "%2b"])
@pytest.mark.parametrize("sidecar", ["", ".metadata", ".provenance"])
def test_a_plus_may_be_escaped_or_not(spelling: str, sidecar: str, client: FlaskClient, site: Path) -> None:
    response = client.get(f"/files/plus-1.0{spelling}local.1-py3-none-any.whl{sidecar}")

    assert response.data == (site / f"files/plus-1.0+local.1-py3-none-any.whl{sidecar}").read_bytes()


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=-7", -7, -1), ("bytes=2000000-", 2000000, -1)],
)
def test_a_range_gives_those_bytes(wanted: str, first: int, last: int, client: FlaskClient, site: Path) -> None:
    whole = (site / BIG.strip("/")).read_bytes()
    first, last = first % len(whole), last % len(whole)

    response = client.get(BIG, headers={"Range": wanted})

    assert response.status_code == 206
    assert response.data == whole[first : last + 1]
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
    assert response.headers["Content-Length"] == str(last - first + 1)


def test_a_range_past_the_end_is_416_and_tells_the_length(client: FlaskClient, site: Path) -> None:
    response = client.get(BIG, headers={"Range": "bytes=99999999-"})

    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{(site / BIG.strip('/')).stat().st_size}"


@pytest.mark.parametrize(
    "wanted", ["bytes=0-1,5-6", "bytes=5-6,0-1", "lines=1-2", "bytes=nonsense", "bytes=9-1", "bytes", "bytes=--1", ""]
)
def test_ranges_that_a_server_may_ignore_give_the_whole_file(wanted: str, client: FlaskClient, site: Path) -> None:
    response = client.get(BIG, headers={"Range": wanted})

    assert (response.status_code, response.data) == (200, (site / BIG.strip("/")).read_bytes())


def test_a_range_of_another_edition_gives_the_whole_file(client: FlaskClient) -> None:
    etag = client.head(BIG).headers["ETag"]

    same = client.get(BIG, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = client.get(BIG, headers={"Range": "bytes=0-9", "If-Range": '"other"'})

    assert (same.status_code, other.status_code) == (206, 200)


def test_who_has_the_file_gets_304_even_with_a_range(client: FlaskClient) -> None:
    etag = client.head(BIG).headers["ETag"]

    for headers in ({}, {"Range": "bytes=0-9"}):
        response = client.get(BIG, headers={**headers, "If-None-Match": etag})
        assert (response.status_code, response.data) == (304, b"")
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_head_tells_the_length_whatever_range_is_asked_for(client: FlaskClient, site: Path) -> None:
    response = client.head(BIG, headers={"Range": "bytes=0-9"})

    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == str((site / BIG.strip("/")).stat().st_size)
    assert response.headers["Accept-Ranges"] == "bytes"


def test_an_etag_is_strong_and_differs_between_files(client: FlaskClient) -> None:
    tags = [client.head(f"/files/lib-{rest}-py3-none-any.whl").headers["ETag"] for rest in ("1.0", "1.9-1", "2.0")]

    assert len(set(tags)) == 3
    assert not any(tag.startswith("W/") for tag in tags)
