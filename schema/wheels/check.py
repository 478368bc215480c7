"""
The check that each wheel passes twice: on the node that built it, and again on the master, which believes nothing (T9).

``check`` is safe on any bytes: it raises WheelRejectedError, or OSError if the file cannot be read, and nothing else.
It takes wheels in any sound zip form; whether the form is the farm's own is ``schema.wheels.canonical.is_canonical``.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import BuildTag, InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from schema.names import Sha256, sha256_of
from schema.platforms import Platform
from schema.wheels import archive, binaries, elf, layout, metadata, record, wheelfile
from schema.wheels.archive import WheelArchive
from schema.wheels.binaries import Binary, Compiled
from schema.wheels.canonical import file_name
from schema.wheels.finding import Finding, broken, grouped, rejection

_IN_MEMORY_BYTES = 64 * 2**20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Name:
    """A file name taken apart."""

    text: str
    project: NormalizedName
    version: Version
    build: BuildTag
    tags: frozenset[Tag]
    tag_text: str

    @property
    def build_text(self) -> str:
        return f"{self.build[0]}{self.build[1]}" if self.build else ""


@dataclass(slots=True, kw_only=True)
class _Contents:
    """What one pass over all members leaves: their true RECORD rows, and the compiled ones."""

    rows: dict[str, record.Row] = field(default_factory=dict)
    binaries: list[Binary] = field(default_factory=list)


def check(path: Path, expected: Expected) -> WheelFacts:
    """Find out what the wheel at *path* is; raise WheelRejectedError naming every rule (A-01 … A-16) that it breaks."""
    name = _parse_name(path.name)
    with archive.read(path) as wheel:
        info = layout.dist_info(wheel.names)
        contents = _look_at(wheel)
        compiled = Compiled(binaries=contents.binaries, tags=name.tags, platform=expected.platform)
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


def _parse_name(text: str) -> _Name:
    tag_text = "-".join(text.removesuffix(".whl").split("-")[-3:])
    try:
        wheelfile.expand(tag_text)
        project, version, build, tags = parse_wheel_filename(text)
    except (InvalidWheelFilename, ValueError) as err:
        raise broken("A-01", f"{text[:300]!r} is not a wheel's file name: {err}") from err
    return _Name(text=text, project=project, version=version, build=build, tags=tags, tag_text=tag_text)


def _look_at(wheel: WheelArchive) -> _Contents:
    contents = _Contents()
    for name in wheel.names:
        digest, size = hashlib.sha256(), 0
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as copy:
            is_elf = False
            for chunk in wheel.chunks(name):
                is_elf = is_elf or (size == 0 and chunk.startswith(elf.MAGIC))
                if is_elf:
                    copy.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            if is_elf:
                contents.binaries.append(_binary(name, copy))
        contents.rows[name] = record.Row.of(name, digest.digest(), size)
    return contents


def _binary(name: str, file: tempfile.SpooledTemporaryFile[bytes]) -> Binary:
    try:
        return Binary(name=name, elf=elf.read(file))
    except elf.MalformedElfError as err:
        return Binary(name=name, fault=str(err))


def _metadata(wheel: WheelArchive, info: str) -> tuple[metadata.CoreMetadata | None, list[Finding]]:
    if f"{info}/METADATA" not in wheel.members:
        return None, []  # layout says so
    return metadata.read(wheel.read(f"{info}/METADATA", limit=metadata.MAX_BYTES))


def _name_findings(name: _Name, expected: Expected) -> Iterator[Finding]:
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
    platforms = {tag.platform for tag in platform.tags}
    for tag in sorted(tags - platform.tags, key=str):
        if tag.platform not in platforms:
            yield Finding(rule="A-13", text=f"{tag.platform} {_why_not(tag, platform)}")
        elif not (tag.interpreter.startswith("py") and tag.abi == "none"):
            yield Finding(rule="A-14", text=f"{tag.interpreter}-{tag.abi} is not what {platform} can build or test")


def _why_not(tag: Tag, platform: Platform) -> str:
    if tag.platform.startswith("musllinux"):
        return f"is for systems with musl's C library; {platform} has glibc"
    return f"is no platform tag of {platform}"


def _file_findings(
    wheel: WheelArchive, info: str, name: _Name, contents: _Contents, compiled: Compiled
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
    yield from binaries.findings(compiled, is_pure=is_pure)
    listing = f"{info}/RECORD"
    if listing in wheel.members:
        yield from record.findings(wheel.read(listing, limit=record.MAX_BYTES), listing, contents.rows)
    points = f"{info}/entry_points.txt"
    if points in wheel.members:
        yield from layout.entry_point_findings(wheel.read(points, limit=layout.ENTRY_POINTS_MAX_BYTES), name.project)


def _told_findings(told: metadata.CoreMetadata, info: str, name: _Name, wheel: WheelArchive) -> Iterator[Finding]:
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


def _facts(wheel: WheelArchive, name: _Name, told: metadata.CoreMetadata, compiled: Compiled) -> WheelFacts:
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
