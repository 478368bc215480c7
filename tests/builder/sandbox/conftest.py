"""A sandbox in the shared image with a fresh job's folder, in one call."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from builder import isolation, sandbox, workspace
from builder.images import Image
from builder.limits import cgroup
from builder.log import Log
from builder.sandbox import Bind, Finished, Sandbox
from builder.track import Track
from builder.workspace import JobFolder
from schema.jobs import Limits

# Another one in each process of pytest-xdist: the tests count all processes that such a user has.
BUILD_UID = 65100 + 4 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
NOBODY = 65534
LIMITS = Limits(
    memory_bytes=200 * 2**20,
    disk_bytes=64 * 2**20,
    processes=64,
    wall_s=30,
    silence_s=20,
    log_bytes=2**20,
)


@dataclass(slots=True, kw_only=True)
class Box:
    """One job: its folder, its log, and a run of anything in it."""

    image: Image
    job: JobFolder
    log: Log
    limits: Limits = LIMITS
    cancelled: threading.Event = field(default_factory=threading.Event)
    binds: tuple[Bind, ...] = ()
    track: Track = field(default_factory=lambda: Track(pause_s=0.3))

    def run(self, *argv: str, network: bool = False, within_s: float = 30.0, **limits: float) -> Finished:
        """Run *argv* in ``/build``; *limits* replace those of ``LIMITS``."""
        return sandbox.run(
            Sandbox(root=self.image.root, binds=self.binds, cwd="/build", network=network, uid=self.job.uid),
            argv,
            limits=replace(self.limits, **limits),  # type: ignore[arg-type]
            log=self.log,
            deadline=time.monotonic() + within_s,
            scratch=[self.job.path],
            cancelled=self.cancelled,
            track=self.track,
        )

    def python(self, code: str, **limits: float) -> Finished:
        """Run Python code with the image's interpreter."""
        return self.run("/usr/bin/python3", "-I", "-c", code, **limits)  # type: ignore[arg-type]

    def said(self) -> str:
        """All output so far."""
        return self.log.tail(2**21)


@pytest.fixture
def jobs() -> Iterator[Path]:
    """A workspace that the build user can reach, which pytest's own folders are not; empty again at the end."""
    with tempfile.TemporaryDirectory(prefix="wf-jobs-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


@pytest.fixture
def new_box(image: Image, jobs: Path, tmp_path: Path) -> Iterator[Callable[..., Box]]:
    """Opens boxes; each has a folder ``/build`` and a ``/tmp``, both on its disk."""
    opened = []

    def open_box(name: str = "job", *, uid: int = BUILD_UID) -> Box:
        builds_as = uid if os.geteuid() == 0 else None
        manager = workspace.open_job(jobs, name, uid=builds_as, disk_bytes=LIMITS.disk_bytes)
        job = manager.__enter__()
        opened.append(manager)
        binds = tuple(Bind(source=job.make(place), target=f"/{place}", writable=True) for place in ("build", "tmp"))
        return Box(image=image, job=job, log=Log(tmp_path / f"{name}.log", limit_bytes=LIMITS.log_bytes), binds=binds)

    yield open_box
    for manager in opened:
        manager.__exit__(None, None, None)


@pytest.fixture
def box(new_box: Callable[..., Box]) -> Box:
    """One box."""
    return new_box()


def processes_of(uid: int) -> list[int]:
    """The living processes of a user."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid and not _is_zombie(entry):
                found.append(int(entry.name))
    return found


def _is_zombie(process: Path) -> bool:
    """Whether it is dead, and only waits for its parent to notice."""
    return process.joinpath("stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"


def as_nobody(work: Callable[[], Any]) -> Any:
    """What *work* gives in a process that has given up root for good."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer: dict[str, Any] = {}
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            for cache in (cgroup.hierarchies, workspace.loop_devices_work, isolation.probe):
                cache.cache_clear()
            answer["value"] = work()
        except BaseException:  # noqa: BLE001 - whatever it is, the test shall tell it
            answer["error"] = traceback.format_exc()
        os.write(writer, json.dumps(answer).encode())
        sys.stdout.flush()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        answer = json.load(file)
    os.waitpid(child, 0)
    assert "error" not in answer, answer["error"]
    return answer["value"]
