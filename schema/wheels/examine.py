"""
Take a wheel apart: its anatomy, from its bytes alone.

``examine`` is safe on any bytes: it raises WheelRejectedError, or OSError if the file cannot be read, and nothing else.
Whatever it gives is printable and bounded. It tells what is there and judges nothing: that is ``check``.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from schema.names import Sha256, sha256_of
from schema.printable import one_line
from schema.wheels import (
    archive,
    binaries,
    elf,
    grafted,
    machines,
    platform_tag,
    rest,
    symbols,
    tag_findings,
    wheelfile,
)
from schema.wheels.anatomy import (
    MOST_BYTES,
    Anatomy,
    CompiledFile,
    GraftedLibrary,
    Hardening,
    Kind,
    Library,
    Place,
    Portability,
    Relro,
    shown,
)
from schema.wheels.archive import WheelArchive
from schema.wheels.binaries import Binary, Compiled
from schema.wheels.elf import EXECUTABLE, RELOCATABLE, SHARED, Elf
from schema.wheels.finding import broken, grouped
from schema.wheels.grafted import Package
from schema.wheels.platform_tag import Policy
from schema.wheels.symbols import Kept

_IN_MEMORY_BYTES = 64 * 2**20
# Bounds the time that a hostile wheel takes.
_MOST_LOOKED_AT = 5000
_MOST_FILES, _MOST_LIBRARIES, _MOST_SHOWN, _MOST_FAMILIES = 500, 60, 20, 8
_MOST_OF_A_VERSION = 40
_FORTIFIED = re.compile(r"__\w+_chk")
_STACK_PROTECTOR = frozenset({"__stack_chk_fail", "__stack_chk_guard"})


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
    named = (platform_tag.linux_arch(tag) for tag in sorted({tag.platform for tag in tags}))
    arch = next((found for found in named if found in machines.ARCHITECTURES), "")
    with archive.read(path) as wheel:
        members = _compiled_members(wheel)
        seen = list(_seen(wheel, members[:_MOST_LOOKED_AT], arch))
        compiled = Compiled(binaries=[item.binary for item in seen], tags=tags, arch=arch)
        packages = grafted.packages(rest.read(wheel, f"sboms/{grafted.NAME}", limit=grafted.MAX_BYTES))
        promised = _promised(compiled)
        whole = Anatomy(
            filename=name,
            sha256=sha256 or sha256_of(path),
            size_bytes=path.stat().st_size,
            unpacked_bytes=sum(member.size_bytes for member in wheel.members.values()),
            members=len(wheel.members),
            portability=_portability(compiled, seen, promised, left_out=len(members) - len(seen)),
            licenses=rest.licenses(wheel),
            grafted=tuple(islice(_grafted(seen, packages, arch), _MOST_FILES)),
            packages=tuple(map(_printable, packages)),
            files=tuple(_files(compiled, seen, promised)),
            files_left_out=max(len(members) - _MOST_FILES, 0),
            others=tuple(rest.groups(wheel, frozenset(members))),
        )
    return _bounded(whole)


def _compiled_members(wheel: WheelArchive) -> list[str]:
    """By name; only the beginning of each member is inflated."""
    return [name for name in sorted(wheel.names) if next(wheel.chunks(name), b"").startswith(elf.MAGIC)]


def _seen(wheel: WheelArchive, members: Iterable[str], arch: str) -> Iterator[_Seen]:
    forbidden = {
        symbol for policy in platform_tag.policies(arch) for names in policy.forbidden.values() for symbol in names
    }
    for name in members:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as copy:
            copy.writelines(wheel.chunks(name))
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


def _promised(compiled: Compiled) -> frozenset[str]:
    """Of what the wheel needs and lacks, what its tag's policy promises; without one the newest, as auditwheel says."""
    if compiled.is_for_musl or compiled.is_linked_to_musl:
        return frozenset(filter(platform_tag.on_every_musl_system, compiled.needed))
    claimed = [glibc for tag in compiled.platforms if (glibc := platform_tag.claimed_glibc(tag))]
    arch = compiled.arch
    policy = platform_tag.policy_for(max(claimed), arch) if claimed else platform_tag.newest_policy(arch)
    return frozenset(compiled.needed) & policy.libraries if policy else frozenset()


def _portability(compiled: Compiled, seen: Sequence[_Seen], promised: frozenset[str], *, left_out: int) -> Portability:
    tags = tuple(map(shown, sorted(compiled.platforms)))[:_MOST_SHOWN]
    loadable = [elf for _, elf in compiled.loadable]
    if not compiled.arch or not loadable:
        return Portability(tags=tags)
    policy, beyond = _oldest_policy(compiled, seen)
    if left_out:
        policy, beyond = "", [f"{left_out} compiled files more, which nobody looked at"]
    return Portability(
        tags=tags,
        arch=compiled.arch,
        policy=policy,
        beyond=tuple(map(shown, beyond[:_MOST_SHOWN])),
        versions=_newest(loadable, apart_from=compiled.bundled, limit=_MOST_SHOWN),
        outside=tuple(shown(name) for name in compiled.needed if name not in promised)[:_MOST_LIBRARIES],
    )


def _oldest_policy(compiled: Compiled, seen: Sequence[_Seen]) -> tuple[str, list[str]]:
    """And what is needed beyond the one before it."""
    musl = [("is linked to musl's C library", name) for name, read in compiled.loadable if binaries.is_musl(read)]
    if musl:
        return "", list(grouped(musl))
    taken = {item.binary.name: item.taken or frozenset() for item in seen}
    beyond: list[str] = []
    for policy in platform_tag.policies(compiled.arch):
        faults = [
            *tag_findings.foreign(compiled, policy),
            *tag_findings.newer_symbols(compiled, policy),
            *_forbidden(compiled, taken, policy),
        ]
        if not faults:
            return f"{policy.name}_{compiled.arch}", beyond
        beyond = [f"{policy.name}: {text}" for text in grouped(faults)]
    return "", beyond


def _forbidden(compiled: Compiled, taken: Mapping[str, frozenset[str]], policy: Policy) -> Iterator[tuple[str, str]]:
    for name, read in compiled.loadable:
        for library, symbol in platform_tag.forbidden(read, taken[name], policy):
            yield f"takes {symbol} from {library}, which is not for others", name


def _files(compiled: Compiled, seen: Sequence[_Seen], promised: frozenset[str]) -> Iterator[CompiledFile]:
    bundled = compiled.bundled
    loadable = {name for name, _ in compiled.loadable}
    for item in seen[:_MOST_FILES]:
        found = CompiledFile(
            name=shown(item.binary.name),
            size_bytes=item.size_bytes,
            kind=_kind(item.binary),
            kept=item.kept,
            fault=shown(item.binary.fault),
        )
        read = item.binary.elf
        if read is not None and item.binary.name in loadable:
            found = replace(
                found,
                soname=shown(read.soname or ""),
                libraries=tuple(
                    Library(
                        name=shown(name),
                        place=_place(name, bundled, promised),
                        versions=_families(read.versions.get(name, frozenset())),
                    )
                    for name in read.needed[:_MOST_LIBRARIES]
                ),
                versions=_newest([read]),
                rpath=tuple(map(shown, read.rpath[:_MOST_SHOWN])),
                runpath=tuple(map(shown, read.runpath[:_MOST_SHOWN])),
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
    return Kind.EXTENSION if binaries.extension(binary.name) else Kind.LIBRARY


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


def _newest(
    files: Sequence[Elf], *, apart_from: frozenset[str] = frozenset(), limit: int = _MOST_FAMILIES
) -> dict[str, str]:
    taken = (read.versions[library] for read in files for library in read.versions.keys() - apart_from)
    return _families((version for versions in taken for version in versions), limit=limit)


def _families(versions: Iterable[str], *, limit: int = _MOST_FAMILIES) -> dict[str, str]:
    found = list(platform_tag.newest_of_each(versions).items())
    return {
        one_line(prefix, limit=_MOST_OF_A_VERSION): one_line(number, limit=_MOST_OF_A_VERSION)
        for prefix, number in found[:limit]
    }


def _grafted(seen: Sequence[_Seen], packages: Sequence[Package], arch: str) -> Iterator[GraftedLibrary]:
    for item in seen:
        if not grafted.is_grafted(item.binary.name):
            continue
        name = item.binary.name.rpartition("/")[2]
        package = grafted.package_of(name, packages, arch) if arch else None
        yield GraftedLibrary(
            name=shown(name),
            size_bytes=item.size_bytes,
            package=shown(package.name) if package else "",
            version=shown(package.version) if package else "",
            licenses=tuple(map(shown, package.licenses)) if package else (),
        )


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
    return replace(
        package,
        name=shown(package.name),
        version=shown(package.version),
        licenses=tuple(map(shown, package.licenses)),
    )
