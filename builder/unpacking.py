"""Unpack a source distribution inside the sandbox, and learn how it wants to be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from builder.images import Image
from builder.room import Room
from builder.sandbox import Bind
from schema.errors import BuildFailedError, SdistError
from schema.jobs import BuildJob

SOURCE = "/build/src"

_MOST_MEMBERS = 200_000
_AT_MOST_S = 900.0
# Zip cannot say anything before 1980 (B-07); after 2099 the clock of whoever packed it was wrong.
_FIRST_EPOCH, _LAST_EPOCH = 315_532_800, 4_102_444_799


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An unpacked source tree.

    epoch: SOURCE_DATE_EPOCH for everything that is made of it (B-07), in seconds since 1970
    backend, backend_path, requires: its build system (PEP 517, PEP 518)
    """

    epoch: int
    backend: str
    backend_path: tuple[str, ...]
    requires: tuple[str, ...]


def unpack(room: Room, image: Image, sdist: Path, *, job: BuildJob, build: Path) -> Source:
    """Unpack *sdist* to ``src`` in *build*; raise SdistError, or BuildFailedError if nothing can be built from it."""
    inside = f"/sdist/{sdist.name}"
    answer = room.run(
        "unpack",
        {
            "archive": inside,
            "into": SOURCE,
            "max_members": _MOST_MEMBERS,
            "max_bytes": job.limits.disk_bytes // 2,
        },
        image=image,
        binds=[Bind(source=sdist, target=inside), Bind(source=build, target="/build", writable=True)],
        at_most_s=_AT_MOST_S,
    )
    _check_identity(answer.data, job)
    try:
        system = answer.data["build_system"]
        return Source(
            epoch=_epoch(job, int(answer.data["newest"])),
            backend=str(system["backend"]),
            backend_path=tuple(map(str, system["backend_path"])),
            requires=tuple(map(str, system["requires"])),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise BuildFailedError(f"the unpacker's answer makes no sense: {err!r}") from err


def _epoch(job: BuildJob, newest: int) -> int:
    uploaded = job.sdist.uploaded_at
    moment = newest if uploaded is None else int(uploaded.timestamp())
    return min(max(moment, _FIRST_EPOCH), _LAST_EPOCH)


def _check_identity(data: Mapping[str, Any], job: BuildJob) -> None:
    """PKG-INFO must name the project and version that the index lists (B-04); an old sdist may have none."""
    name, version = data.get("name"), data.get("version")
    if name is None and version is None:
        return
    try:
        agrees = canonicalize_name(str(name)) == job.project and Version(str(version)) == Version(job.version)
    except InvalidVersion:
        agrees = False
    if not agrees:
        raise SdistError(
            f"{job.sdist.filename}: lies about its name: its PKG-INFO says {str(name)[:80]!r} {str(version)[:40]!r},"
            f" the index lists it as {job.project} {job.version}"
        )
