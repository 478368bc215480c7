"""The shipped example list, as a new user gets it: built from source, repeatable, installed by pip and uv."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from master import lists
from tests.whole_farm import Farm, clean_environment, run_client, view_url

pytestmark = pytest.mark.slow

WISHES = lists.read(lists.EXAMPLE)
PROJECTS = sorted(canonicalize_name(wish.name) for wish in WISHES)
FROM_THE_FARM = {"paramiko", "pynacl", "cffi"}
_RUN_S, _REBUILD_S = 1500, 900


@pytest.fixture(scope="module")
def built(farm: Farm) -> Farm:
    """The farm after ``make run UNTIL_IDLE=1``."""
    farm.settings_file.write_text(farm.settings_file.read_text().replace("slots = 1", "slots = 2"))
    done = farm.call("run", "--until-idle", timeout_s=_RUN_S)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return farm


@pytest.fixture(scope="module")
def serving(built: Farm) -> Iterator[Farm]:
    """The same farm, started again."""
    built.start()
    built.wait_until_it_serves()
    yield built
    built.stop()


def _builds(farm: Farm) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(farm.call("builds", "--json").stdout)
    return found


def test_every_named_project_was_built_from_source(built: Farm) -> None:
    published = {item["project"] for item in _builds(built) if item["state"] == "published"}

    assert published == set(PROJECTS)


def test_what_the_closure_needs_beyond_the_list_is_left_to_the_upstream(built: Farm) -> None:
    spared = {item["project"] for item in _builds(built) if item["state"] == "unneeded"}

    assert {"cryptography", "bcrypt"} <= spared


def test_a_second_build_of_each_gives_the_same_bytes(serving: Farm) -> None:
    first = {item["project"]: item for item in _builds(serving) if item["state"] == "published"}
    for name in PROJECTS:
        done = serving.call("rebuild", f"{name}=={first[name]['version']}")
        assert done.returncode == 0, done.stderr

    deadline = time.monotonic() + _REBUILD_S
    while any(item["state"] in {"queued", "leased", "collecting"} for item in _builds(serving)):
        assert time.monotonic() < deadline, serving.call("builds").stdout
        time.sleep(2)

    known = {item["id"] for item in first.values()}
    again = {
        item["project"]: item["reason"]
        for item in _builds(serving)
        if item["project"] in first and item["id"] not in known
    }
    assert sorted(again) == PROJECTS
    assert [name for name, reason in again.items() if "gives the very bytes" not in reason] == []


@pytest.mark.parametrize("version", ["pip", "pip==23.0.1"])
def test_pip_takes_the_farms_wheels_beside_the_upstreams_without_a_compiler(
    version: str, serving: Farm, tmp_path: Path
) -> None:
    python = clean_environment(tmp_path / "env")
    upgraded = run_client(python, "-m", "pip", "install", "--quiet", "--upgrade", version)
    assert upgraded.returncode == 0, upgraded.stderr
    report = tmp_path / "report.json"

    installed = run_client(
        python, "-m", "pip", "install", "--extra-index-url", view_url(serving), "--report", report, "paramiko"
    )

    assert installed.returncode == 0, installed.stderr
    items = json.loads(report.read_text())["install"]
    origin = {canonicalize_name(item["metadata"]["name"]): item["download_info"]["url"] for item in items}
    assert {name for name, url in origin.items() if url.startswith(serving.url)} >= FROM_THE_FARM
    assert run_client(python, "-c", "import paramiko, nacl.bindings, _cffi_backend").returncode == 0


def test_uv_takes_the_farms_wheels_beside_the_upstreams_without_a_compiler(serving: Farm, tmp_path: Path) -> None:
    python = clean_environment(tmp_path / "env")
    uv = Path(sys.executable).with_name("uv")
    index = ["--extra-index-url", view_url(serving)]
    (tmp_path / "wanted.in").write_text("paramiko\n")

    locked = run_client(
        uv, "pip", "compile", "--no-config", "--generate-hashes", "--python", python, *index, tmp_path / "wanted.in"
    )
    installed = run_client(uv, "pip", "install", "--no-config", "--python", python, *index, "paramiko")

    assert installed.returncode == 0, installed.stderr
    for name in FROM_THE_FARM:
        (wheel,) = (serving.folder / "home" / "site" / "files").glob(f"{name}-*.whl")
        digest = subprocess.run(["sha256sum", wheel], check=True, capture_output=True, text=True).stdout.split()[0]
        assert digest in locked.stdout
    assert run_client(python, "-c", "import paramiko, nacl.bindings, _cffi_backend").returncode == 0


def test_each_project_installs_from_the_farm_alone(serving: Farm, tmp_path: Path) -> None:
    python = clean_environment(tmp_path / "env")

    installed = run_client(python, "-m", "pip", "install", "--no-deps", "--index-url", view_url(serving), *PROJECTS)

    assert installed.returncode == 0, installed.stderr
