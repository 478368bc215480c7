"""The main job on real input: two projects from the upstream, built from source, installed from the farm."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.whole_farm import Farm, clean_environment, run_client, view_url

pytestmark = pytest.mark.slow

_LIST = 'build = "always"\nprojects = ["click", "markupsafe"]\n'
_IMPORT = "import click, markupsafe; print(markupsafe.escape('<'))"
_ALL_OF_IT_S = 540


@pytest.fixture(scope="module")
def built(farm: Farm) -> Farm:
    """The farm after a run until it was idle."""
    (farm.folder / "list.toml").write_text(_LIST)
    done = farm.call("run", "--until-idle", "--list", farm.folder / "list.toml", timeout_s=_ALL_OF_IT_S)
    (farm.folder / "out.txt").write_text(done.stdout)
    (farm.folder / "err.txt").write_text(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return farm


@pytest.fixture
def serving(built: Farm) -> Iterator[Farm]:
    """The same farm, started again."""
    built.start("--list", built.folder / "list.toml")
    built.wait_until_it_serves()
    yield built
    if built.process is not None:
        built.stop()


def _builds(farm: Farm, state: str) -> set[int]:
    return {row["id"] for row in farm.json("builds", "--state", state, "--json")}


def _until(true: Callable[[], bool], *, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)


def test_the_run_told_each_step_and_what_became_of_each_project(built: Farm) -> None:
    steps, answers = (built.folder / "err.txt").read_text(), (built.folder / "out.txt").read_text()

    for step in ("fetch", "build", "check", "published"):
        assert f": {step}" in steps
    assert f"Try it:  pip install --extra-index-url {built.url}/" in answers
    assert answers.count("installed and imported") == 2
    assert built.processes() == {}


def test_pip_installs_from_the_farm_alone(serving: Farm, tmp_path: Path) -> None:
    python = clean_environment(tmp_path / "env")

    installed = run_client(python, "-m", "pip", "install", "--index-url", view_url(serving), "click", "markupsafe")

    assert installed.returncode == 0, installed.stderr
    assert run_client(python, "-c", _IMPORT).stdout == "&lt;\n"


def test_uv_installs_from_the_farm_alone(serving: Farm, tmp_path: Path) -> None:
    python = clean_environment(tmp_path / "env")
    uv = Path(sys.executable).with_name("uv")

    installed = run_client(
        uv, "pip", "install", "--no-config", "--python", python, "--index-url", view_url(serving), "click", "markupsafe"
    )

    assert installed.returncode == 0, installed.stderr
    assert run_client(python, "-c", _IMPORT).stdout == "&lt;\n"


def test_a_downloaded_wheel_can_be_verified_and_a_changed_one_not(serving: Farm, tmp_path: Path) -> None:
    python = clean_environment(tmp_path / "env")
    fetched = run_client(
        python, "-m", "pip", "download", "--no-deps", "-d", tmp_path, "--index-url", view_url(serving), "markupsafe"
    )
    assert fetched.returncode == 0, fetched.stderr
    (wheel,) = tmp_path.glob("*.whl")

    good = serving.call("verify", wheel)
    assert (good.returncode, "markupsafe" in good.stdout.lower()) == (0, True), good.stderr

    wheel.write_bytes(wheel.read_bytes() + b"\0")
    bad = serving.call("verify", wheel)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr


def test_why_and_status_tell_what_is_there(serving: Farm) -> None:
    assert "markupsafe" in serving.call("why", "markupsafe").stdout.lower()
    status = serving.call("status").stdout
    assert "2 published" in status
    assert "active" in status


def test_a_second_run_builds_nothing_again(built: Farm) -> None:
    before = built.call("builds", "--json").stdout

    again = built.call("run", "--until-idle", "--list", built.folder / "list.toml", timeout_s=_ALL_OF_IT_S)

    assert again.returncode == 0, again.stderr[-2000:]
    assert built.call("builds", "--json").stdout == before


def test_ctrl_c_ends_every_process_and_is_no_failure(serving: Farm) -> None:
    running = " ".join(serving.processes().values())
    assert all(part in running for part in ("redis", "master.cli", "builder.cli", "-m web"))

    assert serving.stop(signal.SIGINT) == 0
    assert serving.processes() == {}


def test_no_process_outlives_a_run_that_is_killed_and_the_next_run_finishes_its_build(serving: Farm) -> None:
    (release,) = {row["version"] for row in serving.json("builds", "--project", "markupsafe", "--json")}
    (again,) = serving.json("rebuild", f"markupsafe=={release}", "--json")
    _until(lambda: again["build"] in _builds(serving, "leased"))

    serving.stop(signal.SIGKILL)

    _until(lambda: not serving.processes())
    serving.start("--list", serving.folder / "list.toml")
    serving.wait_until_it_serves()
    # The same source gives the same bytes, so there is nothing new to publish.
    _until(lambda: again["build"] in _builds(serving, "unneeded"), timeout_s=120)


def test_a_part_that_is_killed_is_started_again(serving: Farm) -> None:
    master = next(pid for pid, told in serving.processes().items() if "master.cli" in told and " master" in told)

    os.kill(master, signal.SIGKILL)

    _until(lambda: any("master.cli" in told and pid != master for pid, told in serving.processes().items()))
    assert "master ended with signal 9; starting it again" in (serving.folder / "run.log").read_text()
