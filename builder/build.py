"""Build one job: fetch, unpack, requirements, build, repair, check, import. No step believes the one before it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from types import TracebackType
from typing import Self

from packaging.version import Version

from builder import collecting, debian, fetch, images, importing, network, repair, unpacking, workspace
from builder.backend import Backend, build_environment
from builder.images import Image
from builder.log import Log
from builder.requirements import Wheelhouse
from builder.resolving import Supply
from builder.room import Room
from builder.steps import Steps
from builder.wheel_cache import WheelCache
from schema.errors import JobError, NodeError
from schema.jobs import BuildJob, Material, Step
from schema.names import NodeName, node_name, sha256
from schema.platforms import Platform
from schema.settings import Settings
from schema.wheels import canonical
from schema.wheels.check import Expected, WheelFacts, check


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every build on this node shares.

    uid: who builds, where the node runs as root; None: the node's own user
    index_url: where build requirements come from; may carry credentials; empty means pip's default
    resolve_s, wheels_bytes: as in the settings' node section
    """

    images: Path
    workspace: Path
    uid: int | None
    index_url: str
    node: NodeName
    resolve_s: float = 3600.0
    wheels_bytes: int = 2 * 2**30

    @classmethod
    def from_settings(cls, settings: Settings, *, uid: int | None) -> Self:
        """The workshop that the farm's settings describe."""
        return cls(
            images=settings.images.folder,
            workspace=settings.node.workspace,
            uid=uid,
            index_url=settings.upstream.index_url or network.index_url_of_this_machine(),
            node=node_name(settings.node.name),
            resolve_s=settings.node.resolve_s,
            wheels_bytes=settings.node.wheels_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished wheel; it lies in the job's folder, which is gone once this is closed.

    environment: the variables that the build saw
    resources: ``wall_s``, ``cpu_s``, ``peak_memory_bytes``, ``disk_bytes``
    """

    wheel: Path
    facts: WheelFacts
    materials: tuple[Material, ...]
    environment: Mapping[str, str]
    resources: Mapping[str, float]
    steps: tuple[Step, ...]
    folder: contextlib.ExitStack

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.folder.close()


def build(
    job: BuildJob,
    workshop: Workshop,
    *,
    log: Log,
    on_step: Callable[[tuple[Step, ...]], None],
    cancelled: threading.Event,
) -> Built:
    """Build *job*; close the result to remove what is left of it.

    on_step: called with all steps so far at each change
    Raise JobError (its class and evidence say why; ``resources`` what it used), NodeError. Then nothing is left.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        opened = workspace.open_job(
            workshop.workspace, str(job.lease), uid=workshop.uid, disk_bytes=job.limits.disk_bytes
        )
        room = Room(
            folder=stack.enter_context(opened),
            log=log,
            limits=job.limits,
            deadline=started + job.limits.wall_s,
            cancelled=cancelled,
        )
        try:
            made = _Build(job, workshop, room, Steps(log, on_step)).run()
        except JobError as err:
            err.resources = _used(room, started)
            raise
        return Built(
            wheel=made.wheel,
            facts=made.facts,
            materials=made.materials,
            environment=made.environment,
            resources=_used(room, started),
            steps=made.steps.all,
            folder=stack.pop_all(),
        )


def clean(folder: Path) -> None:
    """Remove what killed nodes left in the workspace."""
    workspace.clean(folder)


def _used(room: Room, started: float) -> dict[str, float]:
    resources = {**room.resources, "wall_s": round(time.monotonic() - started, 3)}
    room.log.step("used: " + ", ".join(f"{name} {value:.15g}" for name, value in resources.items()))
    return resources


class _Build:
    """The state of one build between its steps."""

    wheel: Path
    facts: WheelFacts
    materials: tuple[Material, ...]
    environment: Mapping[str, str]

    def __init__(self, job: BuildJob, workshop: Workshop, room: Room, steps: Steps) -> None:
        self.job, self.workshop, self.room, self.steps = job, workshop, room, steps
        self.platform = Platform.parse(job.platform)
        self.base = _image(workshop, self.platform)
        self.image = self.base

    def run(self) -> Self:
        """Every step in its order."""
        self._say_what_builds()
        with self.steps.step("fetch"):
            sdist = self._fetch()
        with self.steps.step("unpack"):
            folder = self.room.folder.make("build")
            source = unpacking.unpack(self.room, self.base, sdist, job=self.job, build=folder)
            self.steps.note(f"backend {source.backend}, SOURCE_DATE_EPOCH {source.epoch}")
        with self.steps.step("requirements"):
            self.image = debian.with_packages(
                self.base, self.job.recipe.debian_packages, log=self.room.log, cancelled=self.room.cancelled
            )
            self.environment = build_environment(self.job, epoch=source.epoch, arch=self.platform.arch)
            backend = Backend(
                room=self.room,
                image=self.image,
                job=self.job,
                source=source,
                build=folder,
                environment=self.environment,
            )
            house = backend.prepare(self._supply())
            self.materials = self._materials(house)
            what = ", ".join(f"{item.name} {item.version}" for item in house.materials) or "nothing required"
            self.steps.note("; ".join((what, *house.notes)))
        with self.steps.step("build"):
            self.wheel = self._build(backend, house)
        with self.steps.step("repair"):
            self.wheel, note = repair.repair(self.room, self.image, self.wheel, job=self.job, epoch=source.epoch)
            self.steps.note(note)
        with self.steps.step("check"):
            self._check(source.epoch)
        with self.steps.step("import"):
            self.steps.note(importing.check_import(self.room, self.base, self.wheel))
        return self

    def _say_what_builds(self) -> None:
        self.room.log.step(
            f"{self.job.project} {self.job.version} on {self.workshop.node}, attempt {self.job.lease}:"
            f" image {self.base.name} {self.base.digest}, Python {self.base.python}"
        )
        self.room.log.step("tools: " + _listed((item.name, item.version) for item in _tools(self.base)))
        self.room.log.step("packages: " + _listed(sorted(self.base.packages.items())))

    def _fetch(self) -> Path:
        sdist = self.job.sdist
        fetch.check_name(sdist.filename, self.job.project, self.job.version)
        # Under a name of ours: only the kind of archive is taken from the index's.
        target = self.room.kept / f"sdist{'.zip' if sdist.filename.endswith('.zip') else Path(sdist.filename).suffix}"
        fetch.fetch(sdist, target, deadline=self.room.deadline, cancelled=self.room.cancelled)
        self.steps.note(f"{sdist.filename}, {target.stat().st_size} bytes, sha256 {sdist.sha256}")
        return target

    def _supply(self) -> Supply:
        shop = self.workshop
        return Supply(
            index_url=shop.index_url,
            pip_cache=self._pip_cache(),
            cache=WheelCache(shop.workspace / "wheels", limit_bytes=shop.wheels_bytes),
            resolve_s=shop.resolve_s,
            before=self.job.before,
            farm_wheels=self.job.wheels,
        )

    def _pip_cache(self) -> Path:
        """Pip's cache: one for each build user, who owns it, but sees it in runs of our own code only."""
        uid = self.workshop.uid
        cache = self.workshop.workspace / f"pip-cache-{os.geteuid() if uid is None else uid}"
        cache.mkdir(mode=0o700, exist_ok=True)
        if uid is not None:
            os.chown(cache, uid, uid)
        return cache

    def _materials(self, house: Wheelhouse) -> tuple[Material, ...]:
        sdist, image = self.job.sdist, self.image
        return (
            Material(kind="sdist", name=sdist.filename, version=self.job.version, sha256=sdist.sha256),
            Material(kind="image", name=image.name, version=image.python, sha256=image.digest),
            *(
                Material(kind="debian", name=name, version=version, sha256=sha256(deb))
                for name, version, deb in image.added
            ),
            *_tools(image),
            *house.materials,
        )

    def _build(self, backend: Backend, house: Wheelhouse) -> Path:
        self.room.log.step("environment: " + " ".join(f"{key}={value}" for key, value in self.environment.items()))
        out = self.room.folder.make("out")
        backend.build_wheel(house, out)
        return collecting.wheel(
            out,
            project=self.job.project,
            version=Version(self.job.version),
            max_bytes=self.job.limits.wheel_bytes,
            into=self.room.kept,
        )

    def _check(self, epoch: int) -> None:
        folder = self.room.kept / "canonical"
        folder.mkdir(mode=0o755)
        self.wheel = canonical.repack(self.wheel, folder, epoch=epoch, build_number=self.job.build_number)
        expected = Expected(
            project=self.job.project,
            version=Version(self.job.version),
            platform=self.platform,
            build_number=self.job.build_number,
        )
        self.facts = check(self.wheel, expected)
        file = f"{self.facts.filename}, {self.facts.size_bytes} bytes, sha256 {self.facts.sha256}"
        self.steps.note("; ".join((file, *self.facts.notes)))


def _image(workshop: Workshop, platform: Platform) -> Image:
    image = images.find(workshop.images, platform.view)
    if ".".join(image.python.split(".")[:2]) != ".".join(map(str, platform.python_version)):
        raise NodeError(f"the image {image.name} has Python {image.python}, which cannot build for {platform}")
    return image


def _listed(versions: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions)


def _tools(image: Image) -> list[Material]:
    found = {(item.name, item.version) for item in distributions(path=[str(image.tools)])}
    return [Material(kind="tool", name=name, version=version) for name, version in sorted(found)]
