"""Build one job: fetch its sdist, go through the pipeline, and try again with what may heal it where that fails."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from builder import fetch, images, workspace
from builder.debian_index import making
from builder.heal.ladder import Ladder
from builder.heal.rungs import Rungs
from builder.images import Image
from builder.log import Log
from builder.pipeline import Made, Pipeline, tools
from builder.room import Room
from builder.steps import Steps
from builder.workshop import Workshop
from schema.errors import ImageError, JobError, NodeError
from schema.jobs import BuildJob, Material, Step, Usage
from schema.platforms import Platform
from schema.portability import Verdict
from schema.recipes import MOST_LOG, Recipe, combined
from schema.remedies import Remedy, Rung, Try
from schema.wheels.check import WheelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished wheel; it lies in the job's folder, which is gone once this is closed.

    environment: the variables that the build saw
    resources, usage: as in ``BuildResult``
    recipe: what was in effect, remedies included
    remedies, tries, runtime_packages, portability: as in ``BuildResult``
    """

    wheel: Path
    facts: WheelFacts
    materials: tuple[Material, ...]
    environment: Mapping[str, str]
    resources: Mapping[str, float]
    usage: tuple[Usage, ...]
    steps: tuple[Step, ...]
    recipe: Recipe
    remedies: tuple[Remedy, ...]
    tries: tuple[Try, ...]
    runtime_packages: tuple[str, ...]
    portability: tuple[Verdict, ...]
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
    Raise JobError (its class and evidence say why; ``resources`` what it used, ``tries`` what was tried), NodeError.
    Then nothing is left.
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
        steps = Steps(log, on_step)
        try:
            work = _Work(job, workshop, room, steps)
            made = work.run()
        except JobError as err:
            err.resources, err.usage = _used(room, started), tuple(room.track.points)
            raise
        return Built(
            wheel=made.wheel,
            facts=made.facts,
            materials=made.materials,
            environment=made.environment,
            resources=_used(room, started),
            usage=tuple(room.track.points),
            steps=steps.all,
            recipe=work.recipe,
            remedies=work.ladder.remedies,
            tries=tuple(work.ladder.tries),
            runtime_packages=made.runtime_packages,
            portability=made.portability,
            folder=stack.pop_all(),
        )


def clean(folder: Path) -> None:
    """Remove what killed nodes left in the workspace."""
    workspace.clean(folder)


def _used(room: Room, started: float) -> dict[str, float]:
    resources = {**room.resources, "wall_s": round(time.monotonic() - started, 3)}
    room.log.step("used: " + ", ".join(f"{name} {value:.15g}" for name, value in resources.items()))
    return resources


class _Work:
    """One job and the tries at it."""

    def __init__(self, job: BuildJob, workshop: Workshop, room: Room, steps: Steps) -> None:
        self.job, self.workshop, self.room, self.steps = job, workshop, room, steps
        self.base = _image(workshop, Platform.parse(job.platform))
        rungs = Rungs(
            job=job,
            index=self._index if workshop.heal.debian and self.base.origin is None else None,
            installed=frozenset(self.base.packages),
            older=workshop.heal.older_requirements,
        )
        self.ladder = Ladder(candidates=rungs.candidates, known=job.known, most=max(workshop.heal.tries, 1))

    @property
    def recipe(self) -> Recipe:
        """What is in effect in the present try."""
        return combined((self.job.recipe, *self.ladder.remedies)) if self.ladder.remedies else self.job.recipe

    def run(self) -> Made:
        """Fetch the sdist, and try until it is built or nothing is left to try."""
        self._say_what_builds()
        with self.steps.step("fetch"):
            sdist = self._fetch()
        if self.ladder.remedies:
            self._say_what_is_tried()
        while True:
            begin, started = self.room.log.bytes_written, time.monotonic()
            job = replace(self.job, recipe=self.recipe)
            pipeline = Pipeline(
                job=job, workshop=self.workshop, room=self.room, steps=self.steps, base=self.base, healed=self._healed()
            )
            try:
                made = pipeline.run(sdist)
            except JobError as err:
                self._heal(err, begin=begin, seconds=round(time.monotonic() - started, 3))
                self.room.start_over(keep=sdist)
                self._say_what_is_tried()
            else:
                self.ladder.built(seconds=round(time.monotonic() - started, 3))
                return made

    def _healed(self) -> tuple[str, ...]:
        """The Debian packages that are not a person's choice."""
        chosen = (remedy.debian_packages for remedy in self.ladder.remedies if remedy.rung is not Rung.RULE)
        return tuple(name for packages in chosen for name in packages)

    def _heal(self, err: JobError, *, begin: int, seconds: float) -> None:
        """Decide what to try next; raise the error that the build ends with where nothing is left."""
        try:
            again = self.ladder.failed(
                err, log=self._text_since(begin), seconds=seconds, left_s=self.room.deadline - time.monotonic()
            )
        except ImageError as image_err:
            # It may be healed once the lists can be had again: not the project's fault yet.
            raise NodeError(f"{err.evidence or err}; what may heal it cannot be looked up: {image_err}") from err
        if not again:
            verdict = self.ladder.verdict
            verdict.tries = tuple(self.ladder.tries)
            raise verdict

    def _say_what_is_tried(self) -> None:
        newest = self.ladder.remedies
        with self.steps.step("heal"):
            kept = f"again, with {len(newest)} remedies: " if len(newest) > 1 else "again: "
            what = "; ".join(remedy.why for remedy in newest[-1:])
            self.steps.note(f"{kept}{what}" if newest else "again, without what worked before")

    def _text_since(self, begin: int) -> str:
        begin = max(begin, self.room.log.bytes_written - MOST_LOG)
        return self.room.log.read(begin, MOST_LOG).decode(errors="replace")

    def _index(self) -> Path:
        """The index of the suite; made, if there is none, while the build waits."""
        return making.make(
            self.base,
            progress=lambda what, _: self.room.log.step(f"Debian's lists: {what}"),
            cancelled=self.room.cancelled,
        )

    def _say_what_builds(self) -> None:
        self.room.log.step(
            f"{self.job.project} {self.job.version} on {self.workshop.node}, attempt {self.job.lease}:"
            f" image {self.base.name} {self.base.digest}, Python {self.base.python}"
        )
        self.room.log.step("tools: " + _listed((item.name, item.version) for item in tools(self.base)))
        self.room.log.step("packages: " + _listed(sorted(self.base.packages.items())))

    def _fetch(self) -> Path:
        sdist = self.job.sdist
        fetch.check_name(sdist.filename, self.job.project, self.job.version)
        # Under a name of ours: only the kind of archive is taken from the index's.
        target = self.room.kept / f"sdist{'.zip' if sdist.filename.endswith('.zip') else Path(sdist.filename).suffix}"
        fetch.fetch(sdist, target, deadline=self.room.deadline, cancelled=self.room.cancelled)
        self.steps.note(f"{sdist.filename}, {target.stat().st_size} bytes, sha256 {sdist.sha256}")
        return target


def _image(workshop: Workshop, platform: Platform) -> Image:
    image = images.find(workshop.images, platform.image)
    if ".".join(image.python.split(".")[:2]) != ".".join(map(str, platform.python_version)):
        raise NodeError(f"the image {image.name} has Python {image.python}, which cannot build for {platform}")
    return image


def _listed(versions: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions)
