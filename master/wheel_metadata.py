"""METADATA: out of a wheel that somebody else built, and what a farm needs to know from it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import IO

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from schema.errors import UpstreamError

METADATA_LIMIT_BYTES = 8 * 2**20

_MOST_LINES = 20_000  # a project with many extras has thousands
_MOST_REQUIREMENTS = 500
_MOST_MEMBERS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a wheel needs on one platform.

    title: the project's name as it spells it itself; "" where it does not say
    left_out: requirements that no index can satisfy, or that cannot be read
    """

    title: str
    requirements: tuple[Requirement, ...]
    left_out: tuple[str, ...]


def read_metadata(wheel: IO[bytes], filename: str) -> bytes:
    """The bytes of METADATA; raise UpstreamError if the wheel has none, or more than one, or one that is too long.

    The wheel's digest was checked; still, nothing but this one member is looked at, and nothing is unpacked.
    """
    project = filename.partition("-")[0]
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = [item for item in archive.infolist() if _is_metadata(item.filename, project)]
            if len(found) != 1 or len(archive.filelist) > _MOST_MEMBERS:
                raise UpstreamError(f"{filename}: has {len(found)} METADATA files")
            with archive.open(found[0]) as member:
                data = member.read(METADATA_LIMIT_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as err:
        raise UpstreamError(f"{filename}: cannot be read as a wheel: {err}") from err
    if len(data) > METADATA_LIMIT_BYTES:
        raise UpstreamError(f"{filename}: its METADATA is longer than {METADATA_LIMIT_BYTES} bytes")
    return data


def needs(metadata: bytes, environment: Mapping[str, str], *, extras: Collection[str] = ()) -> Needs:
    """What a wheel with this METADATA needs where PEP 508's markers see *environment*; raise UpstreamError.

    extras: those that were asked for; the requirements without one always count
    """
    try:
        raw, _ = parse_email(metadata)
    except (ValueError, LookupError, TypeError) as err:
        raise UpstreamError(f"METADATA cannot be read: {err}") from err
    requirements: dict[str, Requirement] = {}
    left_out: list[str] = []
    for text in raw.get("requires_dist", [])[:_MOST_LINES]:
        try:
            requirement = Requirement(text)
            if not _applies(requirement, environment, extras):
                continue
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName):
            left_out.append(text)
            continue
        if requirement.url:
            left_out.append(text)
        else:
            requirement.marker = None
            requirements.setdefault(str(requirement), requirement)
    wanted = tuple(requirements.values())
    return Needs(
        title=raw.get("name", ""),
        requirements=wanted[:_MOST_REQUIREMENTS],
        left_out=(*left_out, *map(str, wanted[_MOST_REQUIREMENTS:])),
    )


def _is_metadata(member: str, project: str) -> bool:
    """Whether that is the METADATA of the wheel itself, not of a project that it carries along."""
    folder, _, name = member.partition("/")
    if name != "METADATA" or not folder.endswith(".dist-info"):
        return False
    return canonicalize_name(folder.partition("-")[0]) == canonicalize_name(project)


def _applies(requirement: Requirement, environment: Mapping[str, str], extras: Collection[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))
