"""Build requirements as wheels, resolved and fetched by our own code with the image's interpreter (B-10, B-11, T19)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from builder import diagnosis, network
from builder.images import Image
from builder.room import Room
from builder.sandbox import Bind
from schema import outbox
from schema.errors import BuildFailedError, NodeError, WireError
from schema.jobs import Material
from schema.names import sha256_of
from schema.states import FailureClass

WHEELHOUSE = "/wheelhouse"

_AT_MOST_S = 1800.0
_MOST_REQUIREMENTS = 300
_MOST_WHEELS = 1000
_WHEEL_BYTES = 2**30
_UNREACHABLE = re.compile(r"Retrying \(Retry|Could not fetch URL|HTTP error 5\d\d|5\d\d Server Error|ReadTimeoutError")
_NO_WHEEL = re.compile(r"No matching distribution found for (.+)|Cannot install (.+) because")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheelhouse:
    """A folder of fetched wheels; *materials* has one for each, with its digest."""

    folder: Path
    materials: tuple[Material, ...]

    @property
    def inside(self) -> list[str]:
        """The files as the sandbox sees them."""
        return [f"{WHEELHOUSE}/{name}" for name in sorted(path.name for path in self.folder.iterdir())]

    @property
    def bind(self) -> Bind:
        """The folder for a run without network."""
        return Bind(source=self.folder, target=WHEELHOUSE)


def parsed(texts: Sequence[str]) -> tuple[str, ...]:
    """Requirements in their canonical spelling; raise BuildFailedError for what pip must not get to see."""
    if len(texts) > _MOST_REQUIREMENTS:
        raise _unmet(f"{len(texts)} build requirements; at most {_MOST_REQUIREMENTS} are fetched")
    found: dict[str, None] = {}
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as err:
            reason = f"not a requirement: {text[:200]!r}"
            raise BuildFailedError(reason, failure_class=FailureClass.BACKEND, evidence=reason) from err
        if requirement.url:
            raise _unmet(f"{requirement.name} is wanted from a URL; builds take wheels from the index only")
        found[str(requirement)] = None
    return tuple(found)


def fetch(
    room: Room,
    image: Image,
    requirements: Sequence[str],
    *,
    constraints: Sequence[str],
    index_url: str,
    cache: Path,
    name: str,
) -> Wheelhouse:
    """Fetch *requirements* and what they need into a new folder *name* of the room; no code of the project runs.

    cache: pip's; only such runs as this one see it
    Raise BuildFailedError naming the requirement that has no wheel; NodeError if the index cannot be reached.
    """
    folder = room.folder.make(name)
    if requirements:
        answer = room.run(
            "download",
            {
                "requirements": list(requirements),
                "constraints": parsed(constraints),
                "into": WHEELHOUSE,
                "cache": "/cache",
            },
            image=image,
            binds=[
                Bind(source=folder, target=WHEELHOUSE, writable=True),
                Bind(source=cache, target="/cache", writable=True),
                *network.binds(),
            ],
            environment=network.pip_environment(index_url),
            network=True,
            at_most_s=_AT_MOST_S,
        )
        if answer.data.get("exit_code") != 0:
            raise _failure(answer.output)
    return Wheelhouse(folder=folder, materials=_materials(folder))


def _failure(output: str) -> BuildFailedError | NodeError:
    lines = [diagnosis.plain(line) for line in output.splitlines()]
    if any(_UNREACHABLE.search(line) for line in lines):
        return NodeError("the index with the build requirements does not answer")
    for line in lines:
        if found := _NO_WHEEL.search(line):
            wanted = found[1] or found[2]
            return _unmet(f"no wheel for the build requirement {wanted}", evidence=line)
    return _unmet("the build requirements cannot be resolved", evidence=next(iter(reversed(lines)), ""))


def _materials(folder: Path) -> tuple[Material, ...]:
    materials = []
    for path in sorted(folder.iterdir()):
        try:
            project, version, _, _ = parse_wheel_filename(path.name)
            with outbox.open_plain(path, limit_bytes=_WHEEL_BYTES):
                pass
        except (InvalidWheelFilename, WireError) as err:
            raise NodeError(f"the fetched build requirement {path.name!r} is no wheel: {err}") from err
        materials.append(Material(kind="python", name=project, version=str(version), sha256=sha256_of(path)))
    if len(materials) > _MOST_WHEELS:
        raise _unmet(f"{len(materials)} wheels as build requirements; at most {_MOST_WHEELS} are taken")
    return tuple(materials)


def _unmet(message: str, *, evidence: str = "") -> BuildFailedError:
    return BuildFailedError(message, failure_class=FailureClass.REQUIREMENT, evidence=evidence or message)
