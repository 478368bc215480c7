"""A workshop, an upstream index with tiny projects, and ``attempt``: one real build in the real sandbox."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from builder import build as building
from builder.build import Built
from builder.images import Image
from builder.log import Log
from builder.workshop import Workshop
from schema.jobs import BuildJob, Limits, Sdist, Step
from schema.names import Sha256, node_name
from schema.recipes import Recipe
from schema.sections import HealSection
from tests.builder.pipeline.archives import sdist_of, with_module
from tests.upstream import FakeUpstream, metadata_text, wheel_bytes

# Small enough that a test of a limit is quick, large enough for what behaves.
LIMITS = Limits(
    memory_bytes=1 * 2**30,
    disk_bytes=256 * 2**20,
    processes=128,
    wall_s=120.0,
    silence_s=60.0,
    log_bytes=1 * 2**20,
    wheel_bytes=64 * 2**20,
)

# Several of pytest's workers build at the same time, and look at what a build user of theirs has left running.
_FIRST_UID, _WORKER = 64900, int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """An index that knows no project yet."""
    with FakeUpstream() as served:
        yield served


@pytest.fixture
def workspace() -> Iterator[Path]:
    """A folder that the build user can reach; pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="wf-work-"))
    folder.chmod(0o755)
    yield folder
    building.clean(folder)
    assert not [path for path in folder.iterdir() if path.name.endswith((".img", ".lock"))]
    shutil.rmtree(folder)


@pytest.fixture
def workshop(image: Image, workspace: Path, upstream: FakeUpstream) -> Workshop:
    """That tries everything once."""
    return Workshop(
        images=image.folder.parent,
        workspace=workspace,
        uid=_FIRST_UID + _WORKER if os.geteuid() == 0 else None,
        index_url=upstream.url,
        node=node_name("tester"),
        heal=HealSection(tries=1),
    )


@dataclass(kw_only=True)
class Attempts:
    """Builds jobs; ``steps`` and ``log`` are those of the newest."""

    workshop: Workshop
    upstream: FakeUpstream
    folder: Path
    opened: ExitStack
    platform: str
    steps: tuple[Step, ...] = ()
    fence: int = 0

    @property
    def log(self) -> str:
        return (self.folder / f"{self.fence}.log").read_text(errors="replace")

    def job(self, project: str, data: bytes | None = None, *, filename: str | None = None, **fields: Any) -> BuildJob:
        """A job for a project of ``tests/projects/``, or for *data* served under *filename*."""
        filename = filename or f"{project.replace('-', '_')}-1.0.tar.gz"
        data = sdist_of(project) if data is None else data
        self.upstream.add_file(project, data, filename=filename)
        self.fence += 1
        sdist = Sdist(
            filename=filename,
            url=f"{self.upstream.root}/files/{canonicalize_name(project)}/{filename}",
            sha256=Sha256(hashlib.sha256(data).hexdigest()),
        )
        limits = replace(LIMITS, **fields.pop("limits", {}))
        made = BuildJob(
            build_id=1,
            fence=self.fence,
            project=canonicalize_name(project),
            version="1.0",
            platform=self.platform,
            sdist=sdist,
            recipe=Recipe(),
            limits=limits,
        )
        return replace(made, **fields)

    def run(self, job: BuildJob, *, cancelled: threading.Event | None = None) -> Built:
        """Build it; what is left of it goes at the end of the test."""
        self.fence = job.fence

        def note(steps: tuple[Step, ...]) -> None:
            self.steps = steps

        built = building.build(
            job,
            self.workshop,
            log=Log(self.folder / f"{job.fence}.log", limit_bytes=job.limits.log_bytes),
            on_step=note,
            cancelled=cancelled or threading.Event(),
        )
        return self.opened.enter_context(built)

    def __call__(self, project: str, data: bytes | None = None, **fields: Any) -> Built:
        return self.run(self.job(project, data, **fields))


@pytest.fixture
def attempt(image: Image, workshop: Workshop, upstream: FakeUpstream, tmp_path: Path) -> Iterator[Attempts]:
    with ExitStack() as opened:
        yield Attempts(
            workshop=workshop, upstream=upstream, folder=tmp_path, opened=opened, platform=str(image.platform)
        )


@pytest.fixture(scope="session")
def real_wheels(tmp_path_factory: pytest.TempPathFactory) -> Callable[[FakeUpstream], None]:
    """Lists setuptools, fetched once from the index that pip here is set to use, at a local index."""
    folder = tmp_path_factory.mktemp("real-wheels")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([*command, "setuptools"], check=True, capture_output=True)

    def add(served: FakeUpstream) -> None:
        for path in folder.iterdir():
            served.add_file(path.name.partition("-")[0], path)

    return add


@pytest.fixture
def helper(upstream: FakeUpstream) -> str:
    """A build requirement, as a wheel at the index; its name."""
    filename = "tiny_helper-1.0-py3-none-any.whl"
    upstream.add_file("tiny-helper", helper_wheel(), filename=filename)
    return "tiny-helper"


def helper_wheel() -> bytes:
    """A wheel with the module tiny_helper."""
    metadata = metadata_text("tiny-helper", "1.0")
    return with_module(wheel_bytes("tiny_helper-1.0-py3-none-any.whl", metadata), "tiny_helper.py", "WORKS = True\n")
