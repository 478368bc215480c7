"""A build is repeated on another machine, from nothing but its farm's pages: ``wheelfarm rebuild --locally``."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.whole_farm import Farm, free_port, view_url

pytestmark = pytest.mark.slow

_LIST = 'build = "always"\nprojects = ["markupsafe"]\n'
_ALL_OF_IT_S = 540


@pytest.fixture(scope="module")
def built(farm: Farm) -> dict[str, Any]:
    """The one published build of a farm that serves, as ``wheelfarm builds --json`` tells it."""
    (farm.folder / "list.toml").write_text(_LIST)
    farm.start("--list", farm.folder / "list.toml")
    farm.wait_until_it_serves()
    deadline = time.monotonic() + _ALL_OF_IT_S
    while not (found := farm.json("builds", "--state", "published", "--json")):
        assert time.monotonic() < deadline, farm.json("builds", "--json")
        time.sleep(1)
    build: dict[str, Any] = found[0]
    return build


@pytest.fixture
def elsewhere() -> Iterator[Farm]:
    """Another machine's settings, where no farm has ever run."""
    with tempfile.TemporaryDirectory(prefix="wf-other-") as name:
        other = Farm(folder=Path(name), port=free_port())
        other.folder.chmod(0o755)  # whoever builds must get to the workspace
        text = '[farm]\nname = "other"\nhome = "home"\n[node]\nname = "n"\nworkspace = "work"\n'
        other.settings_file.write_text(text)
        yield other


def repeat(farm: Farm, *arguments: object) -> tuple[int, dict[str, Any]]:
    called = farm.call("rebuild", "--json", *arguments, timeout_s=300)
    return called.returncode, json.loads(called.stdout or "null") or {"stderr": called.stderr}


def test_a_build_of_this_farm_is_repeated_by_its_number(farm: Farm, built: dict[str, Any]) -> None:
    code, told = repeat(farm, "--locally", built["id"])

    assert (code, told["verdict"], told["changes"]) == (0, "identical", []), told
    assert told["original"]["project"] == "markupsafe"
    assert farm.json("status", "--json")["wheels"] == 1


def test_a_machine_without_a_farm_repeats_it_from_the_address_of_the_wheel(
    farm: Farm, built: dict[str, Any], elsewhere: Farm
) -> None:
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    listing = urllib3.request("GET", f"{view_url(farm)}markupsafe/", headers=accept)
    filename = listing.json()["files"][0]["filename"]

    code, told = repeat(elsewhere, "--locally", f"{farm.url}/files/{filename}", "--into", elsewhere.folder / "kept")

    assert (code, told["verdict"]) == (0, "identical"), told
    assert told["original"]["build_id"] == built["id"]
    assert any("on trust" in note for note in told["original"]["notes"])
    assert {item.name for item in (elsewhere.folder / "kept" / "here").iterdir()} == {filename, "build.log"}
    assert not (elsewhere.folder / "home").exists()


def test_a_wheel_that_was_changed_is_not_built_at_all(
    farm: Farm, built: dict[str, Any], elsewhere: Farm, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    repeat(farm, "--locally", built["id"], "--into", kept)
    (wheel,) = kept.glob("*.whl")
    with wheel.open("ab") as file:
        file.write(b"\0")

    called = elsewhere.call("rebuild", "--locally", wheel, "--index", farm.url)

    assert called.returncode == 1
    assert "signed for other bytes" in called.stderr
    assert "unpack" not in called.stderr


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ("4711", "build 4711 has no wheel"),
        ("{url}/debian12/", "not the address of a farm's wheel"),
        ("{url}/files/%2e%2e%2fx-1-py3-none-any.whl", "not the address of a farm's wheel"),
        ("{url}/files/x-1-py3-none-any.whl", "answers 404"),
        ("no-such-file.whl", "there is no file"),
    ],
)
@pytest.mark.usefixtures("built")
def test_what_cannot_be_repeated_is_said(farm: Farm, build: str, said: str) -> None:
    called = farm.call("rebuild", "--locally", build.format(url=farm.url))

    assert called.returncode in {1, 2}
    assert said in called.stderr
    assert "Traceback" not in called.stderr
