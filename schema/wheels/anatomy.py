"""
The anatomy of a wheel: what is in it, what its compiled files need and how they are hardened, where it can run.

Every text in it is printable and of at most 200 characters. ``schema.wheels.examine`` finds it out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from schema.names import Sha256
from schema.printable import one_line
from schema.wheels.grafted import Package
from schema.wheels.symbols import Kept

# Of the shape below: a reader that finds another number has an anatomy of another version of the farm.
FORMAT = 2

# Of an anatomy as JSON text.
MOST_BYTES = 2**20

_MOST_CHARS = 200


def shown(text: str) -> str:
    """*text* as an anatomy has it: printable, on one line, not without end."""
    return one_line(text, limit=_MOST_CHARS)


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
    """A library that was copied into the wheel; package, version: "" where the SBOM does not tell.

    licenses: of its package, which may hold more than the library
    """

    name: str
    size_bytes: int
    package: str
    version: str
    licenses: tuple[str, ...] = ()


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
