"""Lock files: ``pylock.toml`` (PEP 751), read by ``packaging``; what the index does not have is left out, with a note.

A farm serves whoever installs from the file, so a package counts if any choice of extras and groups takes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from schema import toml_file
from schema.errors import SettingsError, UsageError
from schema.platforms import Platform
from schema.printable import one_line

_NAME = re.compile(r"pylock(?:\.[^.]+)?\.toml")
_OTHERS = {
    "uv.lock": "uv export --format pylock.toml -o pylock.toml",
    "poetry.lock": "poetry export --without-hashes -o requirements.txt",
    "pdm.lock": "pdm export --format pylock -o pylock.toml",
    "Pipfile.lock": "pipenv requirements > requirements.txt",
}
_LIMIT_BYTES = 16 * 2**20
_MOST_PACKAGES = 10_000
_TOO_DEEP = "nested too deeply"

# What garbage makes of the library's checks: each of them is told as a fault of the file.
_FAULTS = (PylockValidationError, ValueError, TypeError, AttributeError, KeyError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What a lock file pins.

    pins: each with the platforms that take it; () for every one, now and later
    notes: what was left out, and why
    """

    pins: tuple[tuple[Requirement, tuple[Platform, ...]], ...]
    notes: tuple[str, ...]


def is_lock_file(file: Path) -> bool:
    """Whether its name is that of a lock file; raise UsageError for the name of another tool's, with what to do."""
    if file.name in _OTHERS:
        raise UsageError(
            f"{file}: only the standard lock file (pylock.toml) can be read", advice=f"run: {_OTHERS[file.name]}"
        )
    return bool(_NAME.fullmatch(file.name))


def read(file: Path, *, platforms: Sequence[Platform]) -> Locked:
    """Read a lock file for the farm's *platforms*; raise UsageError with the file and what is wrong in it."""
    lock = _parsed(file, _tables(file))
    there, notes = _platforms(lock, platforms)
    pins: list[tuple[Requirement, tuple[Platform, ...]]] = []
    for package in lock.packages:
        if note := _left_out(package):
            notes.append(f"{package.name}: {note}")
            continue
        try:
            takers = _takers(lock, package, there)
            pin = Requirement(f"{package.name}=={package.version}")
        except (*_FAULTS, InvalidRequirement, RecursionError) as err:
            raise UsageError(f"{file}: {package.name}: {one_line(str(err), limit=200)}") from err
        if takers:
            pins.append((pin, () if set(takers) == set(platforms) else takers))
    return Locked(pins=tuple(pins), notes=tuple(notes))


def _tables(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LIMIT_BYTES:
            raise UsageError(f"{file}: too long for a lock file")
        return toml_file.read(file)
    except OSError as err:
        raise UsageError(f"{file}: cannot be read: {err.strerror}") from err
    except SettingsError as err:
        raise UsageError(str(err)) from err
    except RecursionError as err:
        raise UsageError(f"{file}: {_TOO_DEEP}") from err


def _parsed(file: Path, data: dict[str, Any]) -> Pylock:
    _refuse_other_version(file, data.get("lock-version"))
    packages = data.get("packages")
    if isinstance(packages, list) and len(packages) > _MOST_PACKAGES:
        raise UsageError(f"{file}: more than {_MOST_PACKAGES} packages")
    try:
        return Pylock.from_dict(data)
    except _FAULTS as err:
        raise UsageError(f"{file}: not a lock file: {one_line(str(err), limit=200)}") from err
    except RecursionError as err:
        raise UsageError(f"{file}: {_TOO_DEEP}") from err


def _refuse_other_version(file: Path, text: object) -> None:
    """First of all: a later version may look different in any other respect."""
    try:
        known = isinstance(text, str) and Version(text).major == 1
    except InvalidVersion:
        known = False
    if not known:
        raise UsageError(f"{file}: lock-version {one_line(repr(text), limit=80)} is unknown; 1.0 is what can be read")


def _platforms(lock: Pylock, platforms: Sequence[Platform]) -> tuple[list[Platform], list[str]]:
    """Those of the farm's platforms that the file is meant for, and notes about the others."""
    fit = [platform for platform in platforms if _is_meant_for(lock, platform)]
    return fit, [f"{platform}: the file is not meant for it" for platform in platforms if platform not in fit]


def _is_meant_for(lock: Pylock, platform: Platform) -> bool:
    if lock.requires_python and not lock.requires_python.contains(platform.python_full_version):
        return False
    environment = dict(platform.marker_environment)
    return not lock.environments or any(item.evaluate(environment) for item in lock.environments)


def _left_out(package: Package) -> str:
    if package.vcs or package.directory or package.archive:
        return "comes from a repository, a folder or an archive; the farm builds what the index has"
    return "" if package.version else "has no version"


def _takers(lock: Pylock, package: Package, platforms: Sequence[Platform]) -> tuple[Platform, ...]:
    return tuple(
        platform
        for platform in platforms
        if (not package.requires_python or package.requires_python.contains(platform.python_full_version))
        and (not package.marker or any(_takes(lock, package, platform)))
    )


def _takes(lock: Pylock, package: Package, platform: Platform) -> list[bool]:
    """For what is installed by default, and with all extras and groups."""
    assert package.marker is not None  # noqa: S101 - stated for mypy
    nothing_more = frozenset[str](), frozenset(lock.default_groups or ())
    everything = frozenset(lock.extras or ()), frozenset(lock.dependency_groups or ()) | nothing_more[1]
    return [
        package.marker.evaluate(
            {**platform.marker_environment, "extras": extras, "dependency_groups": groups}, context="lock_file"
        )
        for extras, groups in (nothing_more, everything)
    ]
