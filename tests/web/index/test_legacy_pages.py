"""The form that bandersnatch reads."""

from __future__ import annotations

import pytest

from tests.sample_site import HERE, YANKED_BECAUSE
from tests.web.index.conftest import Reader


def test_a_project_has_its_releases_and_a_serial(client: Reader) -> None:
    response = client.get("/pypi/demo/json")
    found = response.get_json()

    assert found["info"]["name"] == "demo"
    assert list(found["releases"]) == ["1.0", "1.1", "2.0"]
    assert int(response.headers["X-PyPI-Last-Serial"]) == found["last_serial"] > 10**9
    assert response.headers["Cache-Control"] == "public, max-age=60"
    [yanked] = found["releases"]["1.1"]
    assert (yanked["yanked"], yanked["yanked_reason"]) == (True, YANKED_BECAUSE)
    [newest] = found["urls"]
    assert newest["filename"] == "demo-2.0-py3-none-any.whl"
    assert (newest["python_version"], newest["requires_python"]) == ("py3", ">=3.99")


def test_its_files_are_found_where_it_says(client: Reader) -> None:
    [file] = client.get("/pypi/plus/json").get_json()["urls"]
    page = client.get("/simple/plus/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}).get_json(force=True)

    moved = client.get(file["url"].removeprefix("https://farm.example"))

    assert file["url"].startswith("https://farm.example/packages/")
    assert moved.status_code == 301
    assert len(client.get(moved.headers["Location"]).data) == file["size"] == page["files"][0]["size"]
    assert file["digests"] == page["files"][0]["hashes"]


def test_a_view_has_its_own(client: Reader) -> None:
    assert client.get(f"/{HERE.view}/pypi/native/json").get_json()["urls"]
    assert client.get("/pypi/native/json").status_code == 404


@pytest.mark.parametrize("path", ["/pypi/nothing/json", "/pypi/bad/json", "/pypi/../json", "/pypi/demo/1.0/json"])
def test_what_is_not_there_is_404(path: str, client: Reader) -> None:
    assert client.ask(path).status_code == 404
