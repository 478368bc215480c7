"""Resolve build requirements to files: pip with the image's interpreter, wheels only, the upstream before the farm."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename

from builder import fetch, images, network
from builder.images import Image
from builder.plain import plain
from builder.room import Answer, Room
from builder.sandbox import Bind
from builder.wheel_cache import WheelCache
from schema.errors import BuildFailedError, NodeError, SdistError
from schema.jobs import MOST_MISSING, FarmWheel
from schema.states import FailureClass

_FILES, _FARM = "/fetched", "/farm"
_UNREACHABLE = re.compile(r"Retrying \(Retry|Could not fetch URL|HTTP error 5\d\d|5\d\d Server Error|ReadTimeoutError")
_NO_WHEEL = re.compile(r"No matching distribution found for (.+)|Cannot install (.+) because")
_LACKING = re.compile(r"No matching distribution found for (.+)")
_LACKING_TOO = "no matching distributions available for your environment:"
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_NO_TIMES = "does not provide upload-time metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Where the build requirements of one job come from.

    index_url: may carry credentials; empty means pip's default
    pip_cache: pip's own; only such runs as these see it
    resolve_s: for how long a resolution holds
    before: what was uploaded later does not count; None: everything counts
    as_of: the same as a date of the past that somebody chose; each has resolutions of its own. None: now
    farm_wheels: the farm's own, for names that the upstream has no usable wheel of
    file_bytes: no larger file is fetched; None: any
    at_most_s: of one run of pip
    """

    index_url: str
    pip_cache: Path
    cache: WheelCache
    resolve_s: float
    before: datetime | None = None
    as_of: datetime | None = None
    farm_wheels: tuple[FarmWheel, ...] = ()
    file_bytes: int | None = None
    at_most_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The folder of fetched files (not checked yet), and whether the index told when they were uploaded."""

    folder: Path
    times_checked: bool


def resolve(
    room: Room, image: Image, requirements: Sequence[str], *, constraints: Sequence[str], supply: Supply, name: str
) -> Found:
    """Fetch the files of *requirements* and what they need into a new folder *name* of the room.

    A farm's wheel is let in only once pip found that the upstream has none of that name (T19).
    Raise BuildFailedError naming the requirement that has no wheel; NodeError if the index cannot be reached.
    """
    run = _Run(room, image, requirements, constraints, supply, name=name)
    farm = {parse_wheel_filename(item.filename)[0] for item in supply.farm_wheels}
    admitted: set[NormalizedName] = set()
    while True:
        found, answer = run.once(admitted)
        if answer.data.get("exit_code") == 0:
            return found
        lacking = _names(missing(answer.output))
        if not (lacking & farm) - admitted:
            raise _failure(answer.output)
        admitted |= lacking & farm
        room.log.step(f"upstream has no usable wheel: {', '.join(sorted(lacking & farm))} of the farm may be used")


def missing(output: str) -> tuple[str, ...]:
    """The requirements that pip found no wheel of, as *output* tells; bounded, and each one readable."""
    found: dict[str, None] = {}
    for text in _told_missing(output.splitlines()):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.url or len(text) > 255:  # noqa: PLR2004 - as the wire has it
            continue
        requirement.marker = None
        found[str(requirement)] = None
    return tuple(found)[:MOST_MISSING]


def _told_missing(lines: Sequence[str]) -> Iterator[str]:
    listing = False
    for line in lines:
        text = plain(line)
        if told := _LACKING.search(text):
            yield told[1].partition(" (from ")[0]
        if listing and line.startswith("    "):
            yield text
        else:
            listing = text.endswith(_LACKING_TOO)


def _names(texts: Sequence[str]) -> set[NormalizedName]:
    return {canonicalize_name(Requirement(text).name) for text in texts}


class _Run:
    """Runs of pip for the same requirements."""

    def __init__(
        self,
        room: Room,
        image: Image,
        requirements: Sequence[str],
        constraints: Sequence[str],
        supply: Supply,
        *,
        name: str,
    ) -> None:
        self._room, self._supply, self._name = room, supply, name
        self._image = images.stand_in(image)
        self._request = {
            "foreign": None if self._image is image else _foreign(image),
            "requirements": list(requirements),
            "constraints": list(constraints),
            "into": _FILES,
            "cache": "/cache",
            "file_bytes": supply.file_bytes,
        }
        limits = [moment for moment in (supply.before, supply.as_of) if moment is not None]
        self._before = min(limits).astimezone(UTC).isoformat() if limits else None
        self._runs = 0

    def once(self, admitted: set[NormalizedName]) -> tuple[Found, Answer]:
        """One run, with farm wheels of the *admitted* names; without upload times where the index has none."""
        links = self._farm_folder(admitted) if admitted else None
        found, answer = self._pip(links)
        # An index that tells no times cannot be asked for what was there before; a date that somebody chose must hold.
        if self._before and not self._supply.as_of and _NO_TIMES in answer.output:
            self._room.log.step("the index does not tell when files were uploaded; that is not checked")
            self._before = None
            found, answer = self._pip(links)
        return found, answer

    def _pip(self, links: Path | None) -> tuple[Found, Answer]:
        self._runs += 1
        folder = self._room.folder.make(f"{self._name}-{self._runs}")
        farm = [] if links is None else [Bind(source=links, target=_FARM)]
        answer = self._room.run(
            "download",
            {**self._request, "before": self._before, "links": None if links is None else _FARM},
            image=self._image,
            binds=[
                Bind(source=folder, target=_FILES, writable=True),
                Bind(source=self._supply.pip_cache, target="/cache", writable=True),
                *farm,
                *network.binds(),
            ],
            environment=network.pip_environment(self._supply.index_url),
            network=True,
            at_most_s=self._supply.at_most_s,
        )
        return Found(folder=folder, times_checked=self._before is not None), answer

    def _farm_folder(self, admitted: set[NormalizedName]) -> Path:
        folder = self._room.kept / f"{self._name}-farm-{len(admitted)}"
        folder.mkdir(mode=0o755)
        for wheel in self._supply.farm_wheels:
            if parse_wheel_filename(wheel.filename)[0] in admitted:
                _give_farm_wheel(self._room, self._supply.cache, wheel, folder / wheel.filename)
        return folder


def _foreign(image: Image) -> dict[str, Any]:
    """What pip is told of the platform of *image* where it is not the one that it runs on."""
    platforms = dict.fromkeys(tag.platform for tag in image.platform.ordered_tags if tag.platform != "any")
    return {"machine": image.platform.arch, "python": image.python, "platforms": list(platforms)}


def _give_farm_wheel(room: Room, cache: WheelCache, wheel: FarmWheel, target: Path) -> None:
    """Out of the cache, else from the farm: with the very bytes that the master named, or not at all."""
    if cache.give(wheel.sha256, target):
        return
    fetched = room.kept / "farm-wheel"
    _patiently(room, lambda: fetch.fetch(wheel, fetched, deadline=room.deadline, cancelled=room.cancelled))
    with fetched.open("rb") as file:
        cache.add(file)
    fetched.rename(target)
    target.chmod(0o644)


def _patiently(room: Room, action: Callable[[], None]) -> None:
    """A wheel that was published this very moment may not be on the farm's pages yet."""
    for pause_s in (*_PAUSES_S, None):
        try:
            return action()
        except SdistError as err:
            if pause_s is None or "HTTP 404" not in str(err) or room.cancelled.wait(pause_s):
                raise NodeError(f"a wheel of the farm cannot be had: {err}") from err
    return None


def _failure(output: str) -> BuildFailedError | NodeError:
    lines = [plain(line) for line in output.splitlines()]
    if any(_UNREACHABLE.search(line) for line in lines):
        return NodeError("the index with the build requirements does not answer")
    for line in lines:
        if found := _NO_WHEEL.search(line):
            wanted = found[1] or found[2]
            return unmet(f"no wheel for the build requirement {wanted}", evidence=line, missing=missing(output))
    return unmet("the build requirements cannot be resolved", evidence=next(iter(reversed(lines)), ""))


def unmet(message: str, *, evidence: str = "", missing: tuple[str, ...] = ()) -> BuildFailedError:
    """The error for build requirements that cannot be met."""
    return BuildFailedError(
        message, failure_class=FailureClass.REQUIREMENT, evidence=evidence or message, missing=missing
    )
