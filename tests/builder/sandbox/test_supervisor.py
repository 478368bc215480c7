"""A node that is killed leaves nothing that runs, and its successor finds and removes the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder import workspace
from builder.images import Image
from builder.limits import cgroup
from tests.builder.sandbox.conftest import processes_of

BUILD_UID = 64570
_NODE = """
import sys, threading, time
from pathlib import Path
from builder import sandbox, workspace
from builder.log import Log
from builder.sandbox import Bind, Sandbox
from schema.jobs import Limits

root, jobs, uid = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) or None
with workspace.open_job(jobs, "job", uid=uid, disk_bytes=2**24) as job:
    build = job.make("build")
    print("ready", flush=True)
    sandbox.run(
        Sandbox(root=root, binds=(Bind(source=build, target="/build", writable=True),), uid=uid),
        ["sh", "-c", "for i in 1 2 3 4 5; do setsid sleep 1000 & done; touch /build/started; sleep 1000"],
        limits=Limits(), log=Log(jobs / "job.log", limit_bytes=10**6), deadline=time.monotonic() + 100,
        scratch=[job.path], cancelled=threading.Event(),
    )
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="builds of their own user are told apart by that")


def _node(image: Image, jobs: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _NODE, str(image.root), str(jobs), str(BUILD_UID)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def _kill(node: subprocess.Popen[str]) -> None:
    with node:
        node.send_signal(signal.SIGKILL)


def test_a_killed_node_leaves_no_process_and_the_next_one_removes_what_lies_about(image: Image, jobs: Path) -> None:
    node = _node(image, jobs)
    _until((jobs / "job" / "build" / "started").exists)
    assert len(processes_of(BUILD_UID)) >= 6

    _kill(node)

    _until(lambda: not processes_of(BUILD_UID))
    assert (jobs / "job").exists()
    assert workspace.clean(jobs) == 1
    _nothing_is_left(jobs, node.pid)


def test_a_node_killed_at_any_moment_leaves_nothing_once_the_next_one_has_started(image: Image, jobs: Path) -> None:
    moments = random.Random(2)

    for _ in range(12):
        node = _node(image, jobs)
        assert node.stdout is not None
        node.stdout.readline()
        time.sleep(moments.uniform(0, 0.06))
        _kill(node)

        # A tool that was just being started may hold the job for another moment.
        _until(lambda: bool(workspace.clean(jobs)) or not list(jobs.glob("*.lock")))
        _until(lambda: not processes_of(BUILD_UID))
        _nothing_is_left(jobs, node.pid)


def test_the_job_of_a_living_node_is_not_touched(image: Image, jobs: Path) -> None:
    node = _node(image, jobs)
    started = jobs / "job" / "build" / "started"
    _until(started.exists)

    cleaned = workspace.clean(jobs)

    assert cleaned == 0
    assert started.exists()
    assert len(processes_of(BUILD_UID)) >= 6
    _kill(node)
    workspace.clean(jobs)
    _nothing_is_left(jobs, node.pid)


def _nothing_is_left(jobs: Path, pid: int) -> None:
    (jobs / "job.log").unlink(missing_ok=True)
    assert list(jobs.iterdir()) == []
    assert str(jobs) not in Path("/proc/self/mountinfo").read_text()
    where = cgroup.hierarchies()
    bases = {path for path in (where.memory, where.pids, where.cpu) if path is not None}
    assert [group for base in bases for group in base.glob(f"{pid}-*")] == []


def _until(condition, within_s: float = 10.0) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
