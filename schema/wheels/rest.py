"""What is in a wheel beside its compiled files: groups of members, licences, and the texts that say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from schema.errors import WheelRejectedError
from schema.wheels import layout, metadata
from schema.wheels.anatomy import Licenses, MemberGroup, shown
from schema.wheels.archive import WheelArchive

_MOST_GROUPS, _MOST_SHOWN = 15, 20


def groups(wheel: WheelArchive, compiled: frozenset[str]) -> Iterator[MemberGroup]:
    """The largest groups, then all others together."""
    files, sizes = Counter[str](), Counter[str]()
    for name, member in wheel.members.items():
        if name not in compiled:
            suffix = _suffix(name)
            files[suffix] += 1
            sizes[suffix] += member.size_bytes
    order = sorted(sizes, key=lambda suffix: (-sizes[suffix], suffix))
    for suffix in order[:_MOST_GROUPS]:
        yield MemberGroup(suffix=shown(suffix), files=files[suffix], size_bytes=sizes[suffix])
    if rest := order[_MOST_GROUPS:]:
        left = (sum(counts[suffix] for suffix in rest) for counts in (files, sizes))
        yield MemberGroup(suffix="others", files=next(left), size_bytes=next(left))


def _suffix(name: str) -> str:
    folder, _, base = name.rpartition("/")
    if folder.partition("/")[0].endswith(".dist-info"):
        return ".dist-info"
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if stem and dot else "no suffix"


def licenses(wheel: WheelArchive) -> Licenses:
    """What METADATA and the file names say."""
    told, _ = metadata.read(read(wheel, "METADATA", limit=metadata.MAX_BYTES))
    if told is None:
        return Licenses()
    folder = f"{layout.dist_info(wheel.names)}/licenses/"
    files = {*told.license_files, *(name.removeprefix(folder) for name in wheel.names if name.startswith(folder))}
    return Licenses(
        expression=shown(told.license_expression),
        older=tuple(filter(None, map(shown, told.licenses)))[:_MOST_SHOWN],
        files=tuple(map(shown, sorted(files)))[:_MOST_SHOWN],
    )


def read(wheel: WheelArchive, name: str, *, limit: int) -> bytes:
    """A file of the ``.dist-info`` folder; nothing if it is not there, or too large."""
    with suppress(WheelRejectedError):
        member = f"{layout.dist_info(wheel.names)}/{name}"
        if member in wheel.members:
            return wheel.read(member, limit=limit)
    return b""
