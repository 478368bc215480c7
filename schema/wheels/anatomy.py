"""
The anatomy of a wheel: what is in it, what its compiled files need and how they are hardened, where it can run.

``examine`` is safe on any bytes: it raises WheelRejectedError, or OSError if the file cannot be read, and nothing else.
Whatever it gives is printable and bounded. It tells what is there and judges nothing: that is ``check``.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from schema.errors import WheelRejectedError
from schema.names import Sha256, sha256_of
from schema.printable import one_line
from schema.wheels import archive, binaries, elf, grafted, layout, metadata, platform_tag, symbols, wheelfile
from schema.wheels.archive import WheelArchive
from schema.wheels.binaries import Binary
from schema.wheels.elf import EXECUTABLE, RELOCATABLE, SHARED, Elf
from schema.wheels.finding import broken, grouped
from schema.wheels.grafted import Package
from schema.wheels.platform_tag import Policy
from schema.wheels.symbols import Kept

# Of the shape below: a reader that finds another number has an anatomy of another version of the farm.
FORMAT = 1

# Of an anatomy as JSON text.
MOST_BYTES = 2**20

_IN_MEMORY_BYTES = 64 * 2**20
_MOST_FILES, _MOST_LIBRARIES, _MOST_SHOWN, _MOST_GROUPS = 500, 60, 20, 15
_MOST_CHARS = 200
_FORTIFIED = re.compile(r"__\w+_chk")
_STACK_PROTECTOR = frozenset({"__stack_chk_fail", "__stack_chk_guard"})


class Kind(StrEnum):
    """What a compiled file is."""

    EXTENSION = "extension module"
    GRAFTED = "grafted library"
    LIBRARY = "library"
    PROGRAM = "program"
    OBJECT = "object file"
    DEVICE = "device code"
    MALFORMED = "malformed"


class Place(StrEnum):
    """Where a needed library comes from: the wheel, every system that the policy is for, or elsewhere."""

    WHEEL = "wheel"
    POLICY = "policy"
    OUTSIDE = "outside"


class Relro(StrEnum):
    """Which relocated parts the loader makes read-only; with lazy binding the table of functions stays writable."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A needed library; versions: the newest symbol version of each family that is needed from it."""

    name: str
    place: Place
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardening:
    """How a program or library is guarded against its own faults.

    pie: None for what is no program; executable_stack: None where the file does not say
    stack_protector, fortified: whether it takes the functions that these need; a file with nothing to protect does
    not. None for a static program, and where the symbols cannot be read.
    """

    pie: bool | None
    relro: Relro
    bind_now: bool
    executable_stack: bool | None
    stack_protector: bool | None
    fortified: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFile:
    """One ELF file. versions: the newest of each family, over all its libraries; fault: why it cannot be read."""

    name: str
    size_bytes: int
    kind: Kind
    soname: str = ""
    libraries: tuple[Library, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    hardening: Hardening | None = None
    kept: Kept | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftedLibrary:
    """A library that was copied into the wheel; package, version: "" where the SBOM does not tell."""

    name: str
    size_bytes: int
    package: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberGroup:
    """Members that are not compiled, by the end of their names."""

    suffix: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Licenses:
    """What the metadata and the file names say; expression: SPDX, "" if there is none; older: fields before PEP 639."""

    expression: str = ""
    older: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Portability:
    """Where the compiled files can run, by auditwheel's policies.

    tags: the platform tags of the file name; arch: "" for a pure wheel, or one that is not for Linux
    policy: the oldest manylinux policy that every file keeps, "" if there is none
    beyond: what each file needs that the next older policy (without *policy*: the newest one) does not promise
    versions: the newest symbol version of each family that any file needs from libraries that are not in the wheel
    outside: libraries that are neither in the wheel nor promised
    """

    tags: tuple[str, ...]
    arch: str = ""
    policy: str = ""
    beyond: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """All of it. files_left_out: so many compiled files more, which are not described one by one."""

    filename: str
    sha256: Sha256
    size_bytes: int
    unpacked_bytes: int
    members: int
    portability: Portability
    licenses: Licenses
    grafted: tuple[GraftedLibrary, ...]
    packages: tuple[Package, ...]
    files: tuple[CompiledFile, ...]
    files_left_out: int
    others: tuple[MemberGroup, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, of at most MOST_BYTES as text."""
        return {"format": FORMAT, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A compiled member; taken: of the symbols that it takes, those that tell something; None if nobody knows."""

    binary: Binary
    size_bytes: int
    taken: frozenset[str] | None = None
    kept: Kept | None = None


def examine(path: Path, *, filename: str = "", sha256: Sha256 | None = None) -> Anatomy:
    """Take the wheel at *path* apart.

    filename: where the file itself is called otherwise; sha256: spares reading the file for it

    Only compiled files are inflated as a whole. Raise WheelRejectedError (A-01, A-05) if it is no wheel that every
    reader sees alike.
    """
    name = filename or path.name
    try:
        wheelfile.expand("-".join(name.removesuffix(".whl").split("-")[-3:]))
        _, _, _, tags = parse_wheel_filename(name)
    except (InvalidWheelFilename, ValueError) as err:
        raise broken("A-01", f"{name[:300]!r} is not a wheel's file name: {err}") from err
    platforms = sorted({tag.platform for tag in tags})
    arch = next((found for tag in platforms if (found := binaries.arch_of(tag))), "")
    with archive.read(path) as wheel:
        seen = list(_seen(wheel, arch))
        packages = grafted.packages(_read(wheel, f"sboms/{grafted.NAME}", limit=grafted.MAX_BYTES))
        portability, promised = _portability(platforms, arch, seen)
        compiled = {item.binary.name for item in seen}
        whole = Anatomy(
            filename=name,
            sha256=sha256 or sha256_of(path),
            size_bytes=path.stat().st_size,
            unpacked_bytes=sum(member.size_bytes for member in wheel.members.values()),
            members=len(wheel.members),
            portability=portability,
            licenses=_licenses(wheel),
            grafted=tuple(_grafted(seen, packages, arch))[:_MOST_FILES],
            packages=tuple(map(_printable, packages)),
            files=tuple(_files(seen, promised))[:_MOST_FILES],
            files_left_out=max(len(seen) - _MOST_FILES, 0),
            others=tuple(_others(wheel, compiled)),
        )
    return _bounded(whole)


def _seen(wheel: WheelArchive, arch: str) -> Iterator[_Seen]:
    """The compiled members, by name; of the others only the beginning is inflated."""
    forbidden = {
        symbol for policy in platform_tag.policies(arch) for names in policy.forbidden.values() for symbol in names
    }
    for name in sorted(wheel.names):
        chunks = wheel.chunks(name)
        first = next(chunks, b"")
        if not first.startswith(elf.MAGIC):
            continue
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as copy:
            copy.write(first)
            copy.writelines(chunks)
            yield _look_at(name, wheel.members[name].size_bytes, copy, forbidden)


def _look_at(name: str, size_bytes: int, file: tempfile.SpooledTemporaryFile[bytes], forbidden: set[str]) -> _Seen:
    try:
        read = elf.read(file)
    except elf.MalformedElfError as err:
        return _Seen(binary=Binary(name=name, fault=str(err)), size_bytes=size_bytes)
    seen = _Seen(binary=Binary(name=name, elf=read), size_bytes=size_bytes)
    with suppress(elf.MalformedElfError):
        undefined = symbols.undefined(file)
        if undefined is not None:
            telling = {name for name in undefined if name in _STACK_PROTECTOR or _FORTIFIED.fullmatch(name)}
            seen = replace(seen, taken=frozenset(telling | (undefined & forbidden)))
    with suppress(elf.MalformedElfError):
        seen = replace(seen, kept=symbols.kept(file))
    return seen


def _portability(platforms: Sequence[str], arch: str, seen: Sequence[_Seen]) -> tuple[Portability, frozenset[str]]:
    """And the libraries that are promised: by the tag's policy, else by the newest, as auditwheel's own words go."""
    files = [item.binary for item in seen]
    loadable = [elf for _, elf in binaries.loadable(files)]
    claimed = [glibc for tag in platforms if (glibc := platform_tag.claimed_glibc(tag))]
    newest = platform_tag.policy_for(max(claimed), arch) if claimed else platform_tag.newest_policy(arch)
    promised = newest.libraries if newest else frozenset()
    bundled = binaries.bundled(files)
    needed = {library for elf in loadable for library in elf.needed}
    outside = sorted(name for name in needed - bundled - promised if not platform_tag.is_loader(name))
    tags = tuple(map(_text, platforms))[:_MOST_SHOWN]
    if not arch or not loadable:
        return Portability(tags=tags), promised
    policy, beyond = _oldest_policy(seen, bundled, arch)
    return Portability(
        tags=tags,
        arch=arch,
        policy=policy,
        beyond=tuple(map(_text, beyond))[:_MOST_SHOWN],
        versions=_newest(loadable, apart_from=bundled),
        outside=tuple(map(_text, outside))[:_MOST_LIBRARIES],
    ), promised


def _oldest_policy(seen: Sequence[_Seen], bundled: frozenset[str], arch: str) -> tuple[str, list[str]]:
    beyond: list[str] = []
    for policy in platform_tag.policies(arch):
        faults = [(fault, item.binary.name) for item in seen for fault in _faults(item, policy, bundled)]
        if not faults:
            return f"{policy.name}_{arch}", beyond
        beyond = [f"{policy.name}: {text}" for text in grouped(faults)]
    return "", beyond


def _faults(item: _Seen, policy: Policy, bundled: frozenset[str]) -> Iterator[str]:
    for _, read in binaries.loadable([item.binary]):
        yield from platform_tag.beyond(read, policy, bundled)
        yield from platform_tag.forbidden(read, item.taken or (), policy)


def _files(seen: Sequence[_Seen], promised: frozenset[str]) -> Iterator[CompiledFile]:
    bundled = binaries.bundled([item.binary for item in seen])
    for item in seen[:_MOST_FILES]:
        found = CompiledFile(
            name=_text(item.binary.name),
            size_bytes=item.size_bytes,
            kind=_kind(item.binary),
            kept=item.kept,
            fault=_text(item.binary.fault),
        )
        for _, read in binaries.loadable([item.binary]):
            found = replace(
                found,
                soname=_text(read.soname or ""),
                libraries=tuple(
                    Library(
                        name=_text(name),
                        place=_place(name, bundled, promised),
                        versions=_families(read.versions.get(name, frozenset())),
                    )
                    for name in read.needed[:_MOST_LIBRARIES]
                ),
                versions=_newest([read]),
                rpath=tuple(map(_text, read.rpath))[:_MOST_SHOWN],
                runpath=tuple(map(_text, read.runpath))[:_MOST_SHOWN],
                hardening=_hardening(read, item.taken),
            )
        yield found


def _kind(binary: Binary) -> Kind:
    if binary.elf is None:
        return Kind.MALFORMED
    if binary.is_device_code:
        return Kind.DEVICE
    if binary.elf.kind not in (EXECUTABLE, SHARED):
        return Kind.OBJECT if binary.elf.kind == RELOCATABLE else Kind.MALFORMED
    if _is_program(binary.elf):
        return Kind.PROGRAM
    if grafted.is_grafted(binary.name):
        return Kind.GRAFTED
    return Kind.EXTENSION if binaries.is_extension(binary.name) else Kind.LIBRARY


def _is_program(read: Elf) -> bool:
    return read.kind == EXECUTABLE or read.is_pie or (read.interpreter is not None and read.soname is None)


def _place(name: str, bundled: frozenset[str], promised: frozenset[str]) -> Place:
    if name in bundled:
        return Place.WHEEL
    return Place.POLICY if name in promised or platform_tag.is_loader(name) else Place.OUTSIDE


def _hardening(read: Elf, taken: frozenset[str] | None) -> Hardening:
    partial = Relro.FULL if read.bind_now else Relro.PARTIAL
    return Hardening(
        pie=read.kind == SHARED if _is_program(read) else None,
        relro=partial if read.relro else Relro.NONE,
        bind_now=read.bind_now,
        executable_stack=read.executable_stack,
        stack_protector=None if taken is None else bool(taken & _STACK_PROTECTOR),
        fortified=None if taken is None else any(map(_FORTIFIED.fullmatch, taken)),
    )


def _newest(files: Sequence[Elf], *, apart_from: frozenset[str] = frozenset()) -> dict[str, str]:
    taken = (read.versions[library] for read in files for library in read.versions.keys() - apart_from)
    return _families(version for versions in taken for version in versions)


def _families(versions: Iterator[str] | frozenset[str]) -> dict[str, str]:
    found = platform_tag.newest_of_each(versions)
    return {_text(prefix): _text(number) for prefix, number in list(found.items())[:_MOST_SHOWN]}


def _grafted(seen: Sequence[_Seen], packages: Sequence[Package], arch: str) -> Iterator[GraftedLibrary]:
    for item in seen:
        if not grafted.is_grafted(item.binary.name):
            continue
        name = item.binary.name.rpartition("/")[2]
        package = grafted.package_of(name, packages, arch) if arch else None
        yield GraftedLibrary(
            name=_text(name),
            size_bytes=item.size_bytes,
            package=_text(package.name) if package else "",
            version=_text(package.version) if package else "",
        )


def _others(wheel: WheelArchive, compiled: set[str]) -> Iterator[MemberGroup]:
    """The largest groups, then all others together."""
    files, sizes = Counter[str](), Counter[str]()
    for name, member in wheel.members.items():
        if name not in compiled:
            suffix = _suffix(name)
            files[suffix] += 1
            sizes[suffix] += member.size_bytes
    order = sorted(sizes, key=lambda suffix: (-sizes[suffix], suffix))
    for suffix in order[:_MOST_GROUPS]:
        yield MemberGroup(suffix=_text(suffix), files=files[suffix], size_bytes=sizes[suffix])
    if rest := order[_MOST_GROUPS:]:
        left = (sum(counts[suffix] for suffix in rest) for counts in (files, sizes))
        yield MemberGroup(suffix="others", files=next(left), size_bytes=next(left))


def _suffix(name: str) -> str:
    folder, _, base = name.rpartition("/")
    if folder.partition("/")[0].endswith(".dist-info"):
        return ".dist-info"
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if stem and dot else "no suffix"


def _licenses(wheel: WheelArchive) -> Licenses:
    told, _ = metadata.read(_read(wheel, "METADATA", limit=metadata.MAX_BYTES))
    if told is None:
        return Licenses()
    folder = f"{layout.dist_info(wheel.names)}/licenses/"
    files = {*told.license_files, *(name.removeprefix(folder) for name in wheel.names if name.startswith(folder))}
    return Licenses(
        expression=_text(told.license_expression),
        older=tuple(filter(None, map(_text, told.licenses)))[:_MOST_SHOWN],
        files=tuple(map(_text, sorted(files)))[:_MOST_SHOWN],
    )


def _read(wheel: WheelArchive, name: str, *, limit: int) -> bytes:
    """A file of the ``.dist-info`` folder; nothing if it is not there, or too large."""
    with suppress(WheelRejectedError):
        member = f"{layout.dist_info(wheel.names)}/{name}"
        if member in wheel.members:
            return wheel.read(member, limit=limit)
    return b""


def _bounded(whole: Anatomy) -> Anatomy:
    """With as much of its lists as the limit has room for."""
    while len(json.dumps(whole.to_json())) > MOST_BYTES:
        half = len(whole.files) // 2
        whole = replace(
            whole,
            files=whole.files[:half],
            files_left_out=whole.files_left_out + len(whole.files) - half,
            grafted=whole.grafted[: len(whole.grafted) // 2],
            packages=whole.packages[: len(whole.packages) // 2],
        )
    return whole


def _printable(package: Package) -> Package:
    return replace(package, name=_text(package.name), version=_text(package.version))


def _text(text: str) -> str:
    return one_line(text, limit=_MOST_CHARS)
