"""From an sdist to a checked wheel, once: unpack, requirements, build, repair, check, import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from packaging.version import Version

from builder import collecting, debian, dependencies, emulation, images, importing, repair, unpacking
from builder.backend import Backend, build_environment
from builder.images import Image
from builder.portability import Matrix
from builder.requirements import Wheelhouse
from builder.resolving import Supply
from builder.room import Room
from builder.steps import Steps
from builder.wheel_cache import WheelCache
from builder.workshop import Workshop
from schema.jobs import BuildJob, Material
from schema.names import sha256
from schema.platforms import Platform
from schema.portability import Verdict
from schema.wheels import canonical, wheelfile
from schema.wheels.check import Expected, WheelFacts, check


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A wheel in the job's folder, and what went into it.

    environment: the variables that the build saw
    runtime_packages: Debian packages with the libraries that it needs and neither has nor finds in the bare root, and
        those that its recipe names
    portability: how it fared in other images
    """

    wheel: Path
    facts: WheelFacts
    materials: tuple[Material, ...]
    environment: Mapping[str, str]
    runtime_packages: tuple[str, ...]
    portability: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One way through the steps for one job.

    job: its recipe is what is in effect this time
    base: the plain image
    healed: the Debian packages of its recipe that no person chose
    """

    job: BuildJob
    workshop: Workshop
    room: Room
    steps: Steps
    base: Image
    healed: tuple[str, ...] = ()

    @property
    def platform(self) -> Platform:
        """What it builds for."""
        return Platform.parse(self.job.platform)

    def run(self, sdist: Path) -> Made:
        """Every step in its order; no step believes the one before it. Raise JobError, NodeError."""
        with self.steps.step("unpack"):
            folder = self.room.folder.make("build")
            source = unpacking.unpack(self.room, images.stand_in(self.base), sdist, job=self.job, build=folder)
            self.steps.note(f"backend {source.backend}, SOURCE_DATE_EPOCH {source.epoch}")
        with self.steps.step("requirements"):
            image = debian.with_packages(
                self.base,
                self.job.recipe.debian_packages,
                log=self.room.log,
                cancelled=self.room.cancelled,
                bound=debian.Bound(packages=self.healed, most_bytes=self.workshop.heal.debian_bytes),
            )
            environment = build_environment(self.job, epoch=source.epoch, arch=self.platform.arch) | image.variables
            backend = Backend(
                room=self.room, image=image, job=self.job, source=source, build=folder, environment=environment
            )
            house = backend.prepare(self._supply())
            what = ", ".join(f"{item.name} {item.version}" for item in house.materials) or "nothing required"
            self.steps.note("; ".join((what, *house.notes)))
        with self.steps.step("build"):
            wheel = self._retagged(self._build(backend, house), source.epoch)
        with self.steps.step("repair"):
            wheel, note = repair.repair(
                self.room, image, wheel, bare=images.bare(self.base), job=self.job, epoch=source.epoch
            )
            self.steps.note(note)
        with self.steps.step("check"):
            wheel, facts = self._check(wheel, source.epoch)
        with self.steps.step("import"):
            linked = {image.libraries[name] for name in facts.needed if name in image.libraries}
            runtime = tuple(sorted(linked | set(self.job.recipe.runtime_packages)))
            verdicts = self._import(wheel, facts, runtime, image.libraries)
        return Made(
            wheel=wheel,
            facts=facts,
            materials=self._materials(image, house),
            environment=environment,
            runtime_packages=runtime,
            portability=verdicts,
        )

    def _import(
        self, wheel: Path, facts: WheelFacts, runtime: tuple[str, ...], shipped: Mapping[str, str]
    ) -> tuple[Verdict, ...]:
        """In the bare root, with what its metadata asks for and the packages that a user is told of; then elsewhere."""
        bare = images.bare(self.base)
        image = debian.with_packages(bare, runtime, log=self.room.log, cancelled=self.room.cancelled)
        others = dependencies.fetch(self.room, bare, facts, self._supply())
        imported = importing.check_import(
            self.room, image, wheel, shipped=shipped, test=self.job.recipe.test, others=others
        )
        self.steps.note("; ".join((imported, *([f"needs {', '.join(runtime)}"] if runtime else []))))
        matrix = Matrix(room=self.room, wheel=wheel, facts=facts, runtime=runtime, shipped=shipped)
        verdicts = matrix.tried(self._others()) if facts.portable else ()
        for verdict in verdicts:
            self.room.log.step(str(verdict))
        return verdicts

    def _others(self) -> list[Image]:
        """The other images of this node that the same machines run."""
        found = images.installed(self.workshop.images)
        return [item for item in found if item.name != self.base.name and item.platform.arch == self.platform.arch]

    def _supply(self) -> Supply:
        shop, job = self.workshop, self.job
        return Supply(
            index_url=shop.index_url,
            pip_cache=self._pip_cache(),
            cache=WheelCache(shop.workspace / "wheels", limit_bytes=shop.wheels_bytes),
            resolve_s=shop.resolve_s,
            before=job.before,
            as_of=job.sdist.uploaded_at if job.recipe.requirements_as_of_upload else None,
            farm_wheels=job.wheels,
        )

    def _pip_cache(self) -> Path:
        """Pip's cache: one for each build user, who owns it, but sees it in runs of our own code only."""
        uid = self.workshop.uid
        cache = self.workshop.workspace / f"pip-cache-{os.geteuid() if uid is None else uid}"
        cache.mkdir(mode=0o700, exist_ok=True)
        if uid is not None:
            os.chown(cache, uid, uid)
        return cache

    def _materials(self, image: Image, house: Wheelhouse) -> tuple[Material, ...]:
        sdist = self.job.sdist
        return (
            Material(kind="sdist", name=sdist.filename, version=self.job.version, sha256=sdist.sha256),
            Material(kind="image", name=image.name, version=image.python, sha256=image.digest),
            *_tarballs(image),
            *(
                Material(kind="debian", name=name, version=version, sha256=sha256(deb))
                for name, version, deb in image.added
            ),
            *tools(image),
            *_emulators(image),
            *house.materials,
        )

    def _build(self, backend: Backend, house: Wheelhouse) -> Path:
        self.room.log.step("environment: " + " ".join(f"{key}={value}" for key, value in backend.environment.items()))
        out = self.room.folder.make("out")
        backend.build_wheel(house, out)
        return collecting.wheel(
            out,
            project=self.job.project,
            version=Version(self.job.version),
            max_bytes=self.job.limits.wheel_bytes,
            into=self.room.kept,
        )

    def _retagged(self, wheel: Path, epoch: int) -> Path:
        """With the platform tags that it is to have, where the backend named the kernel's machine (B-09)."""
        tags = "-".join(wheel.stem.split("-")[-3:])
        if wheelfile.retag(tags, self.platform.retagged) == tags:
            return wheel
        folder = self.room.kept / "retagged"
        folder.mkdir(mode=0o755)
        made = canonical.repack(wheel, folder, epoch=epoch, retagged=self.platform.retagged)
        self.room.log.step(f"tagged as {made.name}")
        return made

    def _check(self, wheel: Path, epoch: int) -> tuple[Path, WheelFacts]:
        folder = self.room.kept / "canonical"
        folder.mkdir(mode=0o755)
        wheel = canonical.repack(wheel, folder, epoch=epoch, build_number=self.job.build_number)
        expected = Expected(
            project=self.job.project,
            version=Version(self.job.version),
            platform=self.platform,
            build_number=self.job.build_number,
        )
        facts = check(wheel, expected)
        file = f"{facts.filename}, {facts.size_bytes} bytes, sha256 {facts.sha256}"
        self.steps.note("; ".join((file, *facts.notes)))
        return wheel, facts


def _tarballs(image: Image) -> list[Material]:
    """The tarballs that an imported image, and an interpreter that was added, are of."""
    found = [item for item in (image.origin, image.interpreter) if item is not None]
    return [Material(kind="tarball", name=item.file, version="", sha256=item.sha256) for item in found]


def _emulators(image: Image) -> list[Material]:
    """What ran the programs of an image that this machine does not run by itself."""
    found = emulation.emulator(image.platform.arch) if image.emulation is not None else None
    if found is None:
        return []
    return [Material(kind="emulator", name=found.program.name, version=found.version, sha256=found.sha256)]


def tools(image: Image) -> list[Material]:
    """The farm's own tools for the image's interpreter."""
    found = {(item.name, item.version) for item in distributions(path=[str(image.tools)])}
    return [Material(kind="tool", name=name, version=version) for name, version in sorted(found)]
