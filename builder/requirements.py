"""Build requirements as wheels: fetched once for the whole node, checked by digest each time (B-10, B-11, T19)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from builder import resolving
from builder.images import Image
from builder.resolving import Found, Supply, unmet
from builder.room import Room
from builder.sandbox import Bind
from builder.wheel_cache import Resolved, WheelCache, key_of
from schema import outbox
from schema.errors import BuildFailedError, NodeError, WireError
from schema.jobs import Material
from schema.names import Sha256
from schema.states import FailureClass

WHEELHOUSE = "/wheelhouse"

_MOST_REQUIREMENTS = 300
_MOST_WHEELS = 1000
_WHEEL_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheelhouse:
    """A folder of checked wheels, which is ours; *materials* has one for each, with its digest.

    notes: what is worth telling of how they came here
    """

    folder: Path
    materials: tuple[Material, ...]
    notes: tuple[str, ...] = ()

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
        raise unmet(f"{len(texts)} build requirements; at most {_MOST_REQUIREMENTS} are fetched")
    found: dict[str, None] = {}
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as err:
            reason = f"not a requirement: {text[:200]!r}"
            raise BuildFailedError(reason, failure_class=FailureClass.BACKEND, evidence=reason) from err
        if requirement.url:
            raise unmet(f"{requirement.name} is wanted from a URL; builds take wheels from the index only")
        found[str(requirement)] = None
    return tuple(found)


def fetch(
    room: Room, image: Image, requirements: Sequence[str], *, constraints: Sequence[str], supply: Supply, name: str
) -> Wheelhouse:
    """Have *requirements* and what they need in a new folder *name* of the room; no code of the project runs.

    What the same requirements resolved to a short while ago holds: then neither pip runs, nor is anything fetched.
    Raise BuildFailedError naming the requirement that has no wheel; NodeError if the index cannot be reached.
    """
    folder = room.kept / name
    folder.mkdir(mode=0o755)
    if not requirements:
        return Wheelhouse(folder=folder, materials=())
    constraints = parsed(constraints)
    key = _key(image, requirements, constraints, supply)
    with supply.cache.turn(key, deadline=room.deadline, cancelled=room.cancelled):
        resolved = supply.cache.recall(key, within_s=supply.resolve_s)
        if resolved is None or not _given(supply.cache, resolved, folder):
            found = resolving.resolve(
                room, image, requirements, constraints=constraints, supply=supply, name=f"{name}-fetched"
            )
            resolved = _kept(supply.cache, found)
            if not _given(supply.cache, resolved, folder):
                raise NodeError("the cache of build requirements does not keep what it gets")
            supply.cache.remember(key, resolved)
            supply.cache.trim(notes_s=supply.resolve_s)
    return Wheelhouse(folder=folder, materials=_materials(resolved, supply), notes=_notes(resolved))


def _key(image: Image, requirements: Sequence[str], constraints: Sequence[str], supply: Supply) -> str:
    return key_of(
        sorted(requirements),
        sorted(constraints),
        [image.digest, image.python],
        supply.index_url,
        supply.as_of.isoformat() if supply.as_of else "",
        sorted(wheel.sha256 for wheel in supply.farm_wheels),
    )


def _kept(cache: WheelCache, found: Found) -> Resolved:
    """Each fetched file put into the cache; raise NodeError for one that is no wheel."""
    files = sorted(found.folder.iterdir())
    if len(files) > _MOST_WHEELS:
        raise unmet(f"{len(files)} wheels as build requirements; at most {_MOST_WHEELS} are taken")
    wheels: list[tuple[str, Sha256]] = []
    for path in files:
        try:
            parse_wheel_filename(path.name)
            with outbox.open_plain(path, limit_bytes=_WHEEL_BYTES) as file:
                wheels.append((path.name, cache.add(file)))
        except (InvalidWheelFilename, WireError) as err:
            raise NodeError(f"the fetched build requirement {path.name!r} is no wheel: {err}") from err
        path.unlink()
    return Resolved(wheels=tuple(wheels), times_checked=found.times_checked)


def _given(cache: WheelCache, resolved: Resolved, folder: Path) -> bool:
    """Whether all of it could be copied into *folder*, which is empty again if not."""
    if all(cache.give(digest, folder / name) for name, digest in resolved.wheels):
        return True
    for path in folder.iterdir():
        path.unlink()
    return False


def _materials(resolved: Resolved, supply: Supply) -> tuple[Material, ...]:
    farm = {wheel.sha256 for wheel in supply.farm_wheels}
    materials = []
    for filename, digest in resolved.wheels:
        project, version, _, _ = parse_wheel_filename(filename)
        kind = "farm-wheel" if digest in farm else "python"
        materials.append(Material(kind=kind, name=project, version=str(version), sha256=digest))
    return tuple(materials)


def _notes(resolved: Resolved) -> tuple[str, ...]:
    times = () if resolved.times_checked else ("upload times not checked",)
    return (*times, f"as resolved {resolved.age_s:.0f} s ago") if resolved.age_s else times
