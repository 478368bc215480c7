"""Filtered views: what is left of a page, in the same forms and with the same headers."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient

from tests import sample_site
from tests.published import PUBLISHED_AT
from tests.sample_site import HERE
from tests.web.index.conftest import Reader
from web import picked
from web.picked import Filter

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
NATIVE = f"{HERE.view}/simple/native/"


def days_since_publishing() -> int:
    return (datetime.now(UTC).date() - PUBLISHED_AT.date()).days


def page(client: FlaskClient, path: str) -> Any:
    response = client.get(path, headers={"Accept": JSON})
    return response.get_json(force=True) if response.status_code == 200 else None


def test_an_age_hides_what_is_younger(client: Reader) -> None:
    days = days_since_publishing()

    assert page(client, f"/age/{days}d/simple/demo/") is None
    shown = page(client, f"/age/{days - 1}d/simple/demo/")
    assert shown["versions"] == page(client, "/simple/demo/")["versions"]


def test_on_one_day_everybody_sees_the_same() -> None:
    chosen = Filter.of("age/7d/", "")
    edge = datetime.now(UTC).date() - timedelta(days=7)

    assert chosen.keeps({"upload-time": f"{edge - timedelta(days=1)}T23:59:59.999999Z"})
    assert not chosen.keeps({"upload-time": f"{edge}T00:00:00Z"})
    assert not chosen.keeps({})


def test_a_page_has_only_the_versions_whose_files_are_left(tmp_path: Path, site: Path) -> None:
    shutil.copytree(site / "simple/lib", tmp_path / "site/simple/lib")
    file = tmp_path / "site/simple/lib/index.json"
    whole = json.loads(file.read_bytes())
    for entry in whole["files"]:
        if "-2.0-" in entry["filename"]:
            entry["upload-time"] = f"{datetime.now(UTC).replace(tzinfo=None).isoformat()}Z"
    file.write_text(json.dumps(whole))

    left = page(sample_site.app(tmp_path / "site").test_client(), "/age/2d/simple/lib/")

    assert left["versions"] == ["1.0", "1.9"]
    assert [entry["filename"].split("-")[1] for entry in left["files"]] == ["1.0", "1.9"]
    assert {key: left[key] for key in ("meta", "name", "project-status")} == {
        key: whole[key] for key in ("meta", "name", "project-status")
    }


def test_only_what_was_built_twice_with_the_same_result_is_reproducible(client: Reader) -> None:
    found = {name for name in ("big", "old", "demo") if page(client, f"/reproducible/simple/{name}/")}

    assert found == {"big"}  # old differs, demo was never repeated


def test_tested_means_imported_in_the_image_of_the_view(client: Reader) -> None:
    assert page(client, "/tested/simple/demo/")
    assert page(client, f"/tested/{NATIVE}")
    assert page(client, f"/tested/{HERE.view}/simple/demo/")
    assert page(client, "/debian13-riscv64/simple/demo/")
    assert page(client, "/tested/debian13-riscv64/simple/demo/") is None


def test_filters_go_together_in_one_order(client: Reader) -> None:
    assert page(client, f"/age/1d/reproducible/tested/{HERE.view}/simple/big/")
    assert page(client, f"/tested/reproducible/{HERE.view}/simple/big/") is None


@pytest.mark.parametrize("accept", [JSON, HTML, "text/html"])
@pytest.mark.parametrize("path", ["/tested/simple/demo/", f"/age/1d/tested/{NATIVE}"])
def test_links_lead_to_the_same_files(path: str, accept: str, client: Reader) -> None:
    text = client.get(path, headers={"Accept": accept}).text

    [first, *_] = [part.split('"')[0].split("#")[0] for part in text.split('"') if part.startswith("../")]
    assert client.head(urljoin(path, first)).status_code == 200


def test_html_says_what_json_says(client: Reader) -> None:
    whole = client.get("/simple/demo/", headers={"Accept": "text/html"}).text
    left = client.get("/tested/simple/demo/", headers={"Accept": "text/html"}).text

    assert left.replace("../../../files/", "../../files/") == whole


@pytest.mark.parametrize("accept", [JSON, HTML, "text/html"])
@pytest.mark.parametrize("encoding", ["gzip, deflate, zstd", "identity"])
def test_who_has_a_filtered_page_gets_304(accept: str, encoding: str, client: Reader) -> None:
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    first = client.get("/tested/simple/demo/", headers=headers)

    again = client.get("/tested/simple/demo/", headers={**headers, "If-None-Match": first.headers["ETag"]})

    unpack: Callable[[bytes], bytes] = gzip.decompress if "gzip" in encoding else bytes
    assert b"demo-1.0-py3-none-any.whl" in unpack(first.data)
    assert (again.status_code, again.data) == (304, b"")
    for response in (first, again):
        assert response.headers["Vary"] == "Accept, Accept-Encoding"
        assert response.headers["Cache-Control"] == "public, max-age=60"
        assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_a_filtered_page_follows_the_one_that_it_comes_from(tmp_path: Path, site: Path) -> None:
    shutil.copytree(site / "simple/demo", tmp_path / "site/simple/demo")
    here = sample_site.app(tmp_path / "site").test_client()
    file = tmp_path / "site/simple/demo/index.json"
    before = page(here, "/tested/simple/demo/")

    (tmp_path / "new").write_bytes(file.read_bytes().replace(b"active", b"archived"))
    (tmp_path / "new").replace(file)
    after = page(here, "/tested/simple/demo/")
    file.unlink()

    assert (before["project-status"]["status"], after["project-status"]["status"]) == ("active", "archived")
    assert page(here, "/tested/simple/demo/") is None


def test_a_page_is_filtered_once_as_long_as_nothing_changed(tmp_path: Path, site: Path) -> None:
    shutil.copytree(site / "simple/demo", tmp_path / "site/simple/demo")
    app = sample_site.app(tmp_path / "site")
    first = app.test_client().get("/tested/simple/demo/", headers={"Accept": JSON})
    file = tmp_path / "site/simple/demo/index.json"
    stat = file.stat()
    with file.open("r+b") as opened:  # the same inode, size and time: nobody reads it again
        opened.write(b"#")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert app.test_client().get("/tested/simple/demo/", headers={"Accept": JSON}).data == first.data


@pytest.mark.parametrize(
    "path",
    [
        "/age/0d/simple/demo/", "/age/d/simple/demo/", "/age/-1d/simple/demo/", "/age/99999d/simple/demo/",
        "/age/7h/simple/demo/", "/age/1d/age/1d/simple/demo/", "/age/1d/simple/nothing/", "/age/9999d/simple/demo/",
        "/tested/simple/bad/", "/reproducible/files/demo-1.0-py3-none-any.whl",
    ],
)  # fmt: skip
def test_what_is_no_filter_or_leaves_nothing_is_404(path: str, client: Reader) -> None:
    response = client.get(path)

    assert response.status_code == 404
    assert len(response.data) < 300


@pytest.mark.parametrize("path", ["/age/9999d/simple/", f"/tested/{HERE.view}/simple/"])
def test_the_list_of_projects_is_that_of_the_whole_view(path: str, client: Reader) -> None:
    whole = path.replace("/age/9999d", "").replace("/tested", "")

    assert client.get(path, headers={"Accept": JSON}).data == client.get(whole, headers={"Accept": JSON}).data


def test_versions_are_those_of_the_files() -> None:
    names = ("a-1!2.0-py3-none-any.whl", "a-1.0+local.1-1-py3-none-any.whl", "a-1.0+local.1-py3-none-any.whl")

    assert picked.versions([{"filename": name} for name in names]) == ["1.0+local.1", "1!2.0"]
