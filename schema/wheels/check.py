"""
The check that each wheel passes twice: on the node that built it, and again on the master, which believes nothing (T9).

``check`` is safe on any bytes: it raises WheelRejectedError, or OSError if the file cannot be read, and nothing else.
It takes wheels in any sound zip form; whether the form is the farm's own is ``schema.wheels.canonical.is_canonical``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import NormalizedName
from packaging.version import Version

from schema.names import Sha256, sha256_of
from schema.platforms import Platform
from schema.wheels import archive, filename, layout, metadata, record, tag_findings, wheelfile
from schema.wheels.archive import WheelArchive
from schema.wheels.binaries import Compiled
from schema.wheels.canonical import file_name
from schema.wheels.contents import Contents, look_at
from schema.wheels.filename import WheelName
from schema.wheels.finding import Finding, grouped, rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the job asked for. build_number: 0 for none."""

    project: NormalizedName
    version: Version
    platform: Platform
    build_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFacts:
    """What was found out from a wheel's bytes alone.

    build_number: 0 for none
    metadata: the bytes of METADATA, for the sidecar (I-15)
    requires_python: as written; None if the project does not say
    requires_dist: normalised PEP 508 requirements
    portable: runs on other distributions too (no ``linux_*`` tag)
    extensions: its compiled members
    needed: libraries that it needs and does not have; external: those of them that no manylinux policy promises
    notes: what breaks no rule but is worth telling
    """

    filename: str
    sha256: Sha256
    size_bytes: int
    project: NormalizedName
    version: Version
    build_number: int
    tags: frozenset[Tag]
    requires_python: str | None
    metadata: bytes
    metadata_sha256: Sha256
    requires_dist: tuple[str, ...]
    portable: bool
    extensions: tuple[str, ...]
    needed: tuple[str, ...]
    external: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check(path: Path, expected: Expected) -> WheelFacts:
    """Find out what the wheel at *path* is; raise WheelRejectedError naming every rule (A-01 … A-16) that it breaks."""
    name = filename.parse(path.name)
    with archive.read(path) as wheel:
        info = layout.dist_info(wheel.names)
        contents = look_at(wheel)
        compiled = Compiled(
            binaries=contents.binaries,
            tags=name.tags,
            arch=expected.platform.arch,
            release=expected.platform.distribution,
        )
        told, findings = _metadata(wheel, info)
        findings += [
            *_name_findings(name, expected),
            *_tag_findings(name.tags, expected.platform),
            *layout.findings(wheel.names, name.project, name.version),
            *layout.sbom_findings(wheel.names, lambda member: wheel.read(member, limit=layout.SBOM_MAX_BYTES)),
            *_file_findings(wheel, info, name, contents, compiled),
            *(_told_findings(told, info, name, wheel) if told else ()),
        ]
        if findings or told is None:
            raise rejection(path.name, findings)
        return replace(
            _facts(wheel, name, told, compiled),
            notes=tuple(_notes(wheel, told, expected, compiled)),
        )


def _metadata(wheel: WheelArchive, info: str) -> tuple[metadata.CoreMetadata | None, list[Finding]]:
    if f"{info}/METADATA" not in wheel.members:
        return None, []  # layout says so
    return metadata.read(wheel.read(f"{info}/METADATA", limit=metadata.MAX_BYTES))


def _name_findings(name: WheelName, expected: Expected) -> Iterator[Finding]:
    number = int(name.build[0]) if name.build else 0
    normal = file_name(name.project, name.version, build_number=number, tags=name.tag_text)
    if name.text != normal:
        yield Finding(rule="A-01", text=f"the file name is not normalised; it would be {normal}")
    if name.project != expected.project:
        yield Finding(rule="A-01", text=f"a wheel of {name.project}, but {expected.project} was to be built")
    if number != expected.build_number or (name.build and name.build[1]):
        yield Finding(rule="A-11", text=f"the build tag is {name.build_text or 'none'}, not {expected.build_number}")
    if name.version != expected.version:
        yield Finding(rule="A-12", text=f"version {name.version}, but {expected.version} was to be built")


def _tag_findings(tags: frozenset[Tag], platform: Platform) -> Iterator[Finding]:
    """Usable on the platform, and for no other machine (A-13).

    ``py2-none-any`` beside ``py3-none-any`` and the like claim nothing that can be wrong here.
    """
    if not tags & platform.tags:
        yield Finding(rule="A-13", text=f"no tag of {_joined(tags)} is one that {platform} installs")
    platforms = {tag.platform for tag in platform.tags}.union(*platform.retagged.values())
    for tag in sorted(tags - platform.tags, key=str):
        if tag.platform not in platforms:
            yield Finding(rule="A-13", text=f"{tag.platform} {_why_not(tag, platform)}")
        elif not (tag.interpreter.startswith("py") and tag.abi == "none") and not _is_told_too(tag, tags, platform):
            yield Finding(rule="A-14", text=f"{tag.interpreter}-{tag.abi} is not what {platform} can build or test")


def _is_told_too(tag: Tag, tags: frozenset[Tag], platform: Platform) -> bool:
    """Whether it says of another platform tag what the wheel says of the platform's own."""
    return any(
        (own.interpreter, own.abi) == (tag.interpreter, tag.abi)
        and tag.platform in platform.retagged.get(own.platform, ())
        for own in tags & platform.tags
    )


def _why_not(tag: Tag, platform: Platform) -> str:
    if tag.platform.startswith("musllinux"):
        return f"is for systems with musl's C library; {platform} has glibc"
    return f"is no platform tag of {platform}"


def _file_findings(
    wheel: WheelArchive, info: str, name: WheelName, contents: Contents, compiled: Compiled
) -> Iterator[Finding]:
    """WHEEL, RECORD and entry_points.txt, each if it is there; layout tells of what is missing."""
    is_pure = False
    if f"{info}/WHEEL" in wheel.members:
        try:
            header = wheelfile.parse(wheel.read(f"{info}/WHEEL", limit=wheelfile.MAX_BYTES))
        except ValueError as err:
            yield Finding(rule="A-03", text=str(err))
        else:
            is_pure = header.is_pure
            yield from wheelfile.findings(header, name.tags, name.build_text)
    yield from tag_findings.findings(compiled, is_pure=is_pure)
    listing = f"{info}/RECORD"
    if listing in wheel.members:
        yield from record.findings(wheel.read(listing, limit=record.MAX_BYTES), listing, contents.rows)
    points = f"{info}/entry_points.txt"
    if points in wheel.members:
        yield from layout.entry_point_findings(wheel.read(points, limit=layout.ENTRY_POINTS_MAX_BYTES), name.project)


def _told_findings(told: metadata.CoreMetadata, info: str, name: WheelName, wheel: WheelArchive) -> Iterator[Finding]:
    if (told.name, str(told.version)) != (name.project, str(name.version)):
        text = f"METADATA is of {told.name} {told.version}, the file name of {name.project} {name.version}"
        yield Finding(rule="A-02", text=text)
    yield from metadata.license_findings(told, info, wheel.members.keys())


def _notes(wheel: WheelArchive, told: metadata.CoreMetadata, expected: Expected, compiled: Compiled) -> Iterator[str]:
    yield from told.notes
    if str(told.version) != str(expected.version):
        yield f"the project calls its version {told.version}, the index {expected.version}"
    seen = [("runs whenever Python starts (T12)", name) for name in wheel.names if layout.is_startup_file(name)]
    seen += [
        ("code for a device, not for this processor", item.name) for item in compiled.binaries if item.is_device_code
    ]
    seen += [
        (f"looks for libraries in {path!r}", name)
        for name, library in compiled.loadable
        for path in library.search_paths
        if path.startswith("/")
    ]
    yield from grouped(seen)


def _facts(wheel: WheelArchive, name: WheelName, told: metadata.CoreMetadata, compiled: Compiled) -> WheelFacts:
    data = wheel.read(f"{layout.dist_info(wheel.names)}/METADATA", limit=metadata.MAX_BYTES)
    return WheelFacts(
        filename=name.text,
        sha256=sha256_of(wheel.path),
        size_bytes=wheel.path.stat().st_size,
        project=name.project,
        version=name.version,
        build_number=int(name.build[0]) if name.build else 0,
        tags=name.tags,
        requires_python=told.requires_python,
        metadata=data,
        metadata_sha256=Sha256(hashlib.sha256(data).hexdigest()),
        requires_dist=told.requires_dist,
        portable=not any(tag.platform.startswith("linux_") for tag in name.tags),
        extensions=tuple(binary.name for binary in compiled.binaries if not binary.is_device_code),
        needed=compiled.needed,
        external=compiled.external,
    )


def _joined(tags: frozenset[Tag]) -> str:
    return ", ".join(sorted(map(str, tags)))
