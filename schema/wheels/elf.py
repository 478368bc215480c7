"""
What an ELF file says of itself, read as the loader reads it: by its program headers, never by running or loading it.

Our own reader because the bytes are hostile: each loop and each read here is bounded. Tools that go by section headers
see what the loader ignores, and follow counts and sizes that a forged file can set to anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from schema.wheels.arm import MalformedAttributesError, attributes

MAGIC = b"\x7fELF"

RELOCATABLE, EXECUTABLE, SHARED = 1, 2, 3

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_GNU_PROPERTY = 1, 2, 3, 0x6474E553
_PT_GNU_STACK, _PT_GNU_RELRO, _PF_X = 0x6474E551, 0x6474E552, 1
_SHT_ARM_ATTRIBUTES = 0x70000003
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_DT_BIND_NOW, _DT_FLAGS, _DT_FLAGS_1 = 24, 30, 0x6FFFFFFB
_DF_BIND_NOW, _DF_1_NOW, _DF_1_PIE = 0x8, 0x1, 0x8000000
_EM_ARM = 40

_NOTE_PROPERTIES = 5
_X86_ISA_NEEDED = 0xC0008002

# Far beyond what any linker writes.
_MAX_HEADERS = 4096
_MAX_DYNAMIC = 16_384
_MAX_STRING = 4096
_MAX_NEEDED = 1024
_MAX_OVERLAP = 4
_MAX_VERSIONS = 2048
_MAX_NOTE_BYTES = 65_536


class MalformedElfError(ValueError):
    """The file begins like ELF, but its headers lead nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """One ELF file.

    bits: 32 or 64; byte_order: ``<`` or ``>``; kind: RELOCATABLE, EXECUTABLE, SHARED or another number
    versions: library → the symbol versions needed from it, such as ``GLIBC_2.34``
    rpath, runpath: split at colons
    arm: public build attributes (tag → number) of an ARM file that has them
    x86_isa: bits of the x86-64 levels that the file says it needs: 1 baseline, 2 v2, 4 v3, 8 v4
    executable_stack: what PT_GNU_STACK asks for; None without one, where it is the machine's own choice
    relro: whether the loader takes the right to write from parts that it has relocated (PT_GNU_RELRO)
    bind_now: whether it resolves every symbol before the file is used
    is_pie: whether it is a program (DF_1_PIE) for all that it looks like a shared library
    """

    bits: int
    byte_order: str
    machine: int
    kind: int
    flags: int
    interpreter: str | None = None
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    versions: dict[str, frozenset[str]] = field(default_factory=dict)
    arm: dict[int, int] = field(default_factory=dict)
    x86_isa: int = 0
    executable_stack: bool | None = None
    relro: bool = False
    bind_now: bool = False
    is_pie: bool = False

    @property
    def search_paths(self) -> tuple[str, ...]:
        """RPATH and RUNPATH."""
        return self.rpath + self.runpath


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int
    flags: int


class SectionHeader(NamedTuple):
    """What the loader never looks at; name: where its name begins in the table of their names."""

    name: int
    kind: int
    offset: int
    size: int


def read(file: IO[bytes]) -> Elf:
    """Read a seekable *file* that begins with MAGIC; raise MalformedElfError, and nothing else but OSError."""
    return Reader(file).elf()


class Reader:
    """The state of one reading: the file and how its numbers are packed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        ident = self.at(0, 16)
        if ident[:4] != MAGIC or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise MalformedElfError("not an ELF header")
        self.bits = 32 if ident[4] == 1 else 64
        self.order = "<" if ident[5] == 1 else ">"
        self.word = "I" if self.bits == 32 else "Q"  # noqa: PLR2004
        form = f"HHI{self.word * 3}IHHHHHH"
        self.kind, self.machine, _, _, ph_at, *rest = self.fields(16, form)
        self._sh_at, self._elf_flags, _, ph_size, ph_count, self._sh_size, self._sh_count, self.names_section = rest
        self._segments = tuple(self._program_headers(ph_at, ph_size, ph_count))

    def elf(self) -> Elf:
        """All that Elf tells."""
        dynamic = self.dynamic()
        text = Strings(self, dynamic)
        stack = [segment for segment in self._segments if segment.kind == _PT_GNU_STACK]
        flags_1 = dynamic.get(_DT_FLAGS_1, [0])[-1]
        return Elf(
            bits=self.bits,
            byte_order=self.order,
            machine=self.machine,
            kind=self.kind,
            flags=self._elf_flags,
            interpreter=self._interpreter(),
            soname=next((text.at(offset) for offset in dynamic.get(_DT_SONAME, [])), None),
            needed=_needed(dynamic, text),
            rpath=_paths(dynamic, _DT_RPATH, text),
            runpath=_paths(dynamic, _DT_RUNPATH, text),
            versions=self._versions(dynamic, text),
            arm=self._arm() if self.machine == _EM_ARM else {},
            x86_isa=self._x86_isa(),
            executable_stack=bool(stack[-1].flags & _PF_X) if stack else None,
            relro=any(segment.kind == _PT_GNU_RELRO for segment in self._segments),
            bind_now=_DT_BIND_NOW in dynamic
            or bool(dynamic.get(_DT_FLAGS, [0])[-1] & _DF_BIND_NOW or flags_1 & _DF_1_NOW),
            is_pie=bool(flags_1 & _DF_1_PIE),
        )

    def at(self, offset: int, length: int) -> bytes:
        """Bytes of the file, all of them there."""
        self._seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise MalformedElfError("a header leads beyond the end of the file")
        return data

    def _seek(self, offset: int) -> None:
        if offset >= 2**63:
            raise MalformedElfError("a header leads beyond the end of the file")
        self._file.seek(offset)

    def fields(self, offset: int, form: str) -> tuple[int, ...]:
        """Numbers as ``struct`` calls their forms, in the file's byte order."""
        packed = struct.Struct(self.order + form)
        return packed.unpack(self.at(offset, packed.size))

    def string(self, offset: int, limit: int) -> str:
        """The text at a file offset up to its NUL, which must come within *limit* bytes."""
        self._seek(offset)
        data, end, _ = self._file.read(min(limit, _MAX_STRING)).partition(b"\0")
        if not end:
            raise MalformedElfError("a string without its end")
        return data.decode("utf-8", "backslashreplace")

    def offset_of(self, address: int) -> tuple[int, int]:
        """Where in the file a virtual address lies, and how many bytes of its segment follow it."""
        for segment in self._segments:
            if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
                into = address - segment.address
                return segment.offset + into, segment.size - into
        raise MalformedElfError("an address that no segment of the file holds")

    def _program_headers(self, at: int, size: int, count: int) -> Iterator[_Segment]:
        if count == 0:
            return
        form = "IIQQQQQQ" if self.bits == 64 else "IIIIIIII"  # noqa: PLR2004
        if count > _MAX_HEADERS or size < struct.calcsize("<" + form):
            raise MalformedElfError(f"{count} program headers of {size} bytes")
        for number in range(count):
            fields = self.fields(at + number * size, form)
            if self.bits == 64:  # noqa: PLR2004
                kind, flags, offset, address, _, length, _, _ = fields
            else:
                kind, offset, address, _, length, _, flags, _ = fields
            yield _Segment(kind=kind, offset=offset, address=address, size=length, flags=flags)

    def _segment(self, kind: int) -> _Segment | None:
        found = [segment for segment in self._segments if segment.kind == kind]
        if len(found) > 1:
            raise MalformedElfError(f"{len(found)} segments of the kind {kind:#x}")
        return found[0] if found else None

    def _interpreter(self) -> str | None:
        segment = self._segment(_PT_INTERP)
        return self.string(segment.offset, segment.size) if segment and segment.size else None

    def dynamic(self) -> dict[int, list[int]]:
        """The dynamic section: tag → its values. A file of debugging symbols keeps the segment but not its bytes."""
        segment = self._segment(_PT_DYNAMIC)
        if segment is None or segment.size == 0:
            return {}
        entry = struct.Struct(self.order + self.word * 2)
        count = segment.size // entry.size
        found: dict[int, list[int]] = {}
        data = self.at(segment.offset, min(count, _MAX_DYNAMIC) * entry.size)
        for tag, value in entry.iter_unpack(data):
            if tag == 0:
                return found
            found.setdefault(tag, []).append(value)
        raise MalformedElfError("the dynamic section has no end")

    def _versions(self, dynamic: dict[int, list[int]], text: Strings) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        if _DT_VERNEED not in dynamic:
            return {}
        at, _ = self.offset_of(dynamic[_DT_VERNEED][-1])
        left = _MAX_VERSIONS
        for _ in range(min(dynamic.get(_DT_VERNEEDNUM, [0])[-1], _MAX_HEADERS)):
            _, count, name, first, step = self.fields(at, "HHIII")
            versions = found.setdefault(text.at(name), set())
            aux = at + first
            left -= count
            if left < 0:
                raise MalformedElfError(f"more than {_MAX_VERSIONS} symbol versions")
            for _ in range(count):
                _, _, _, version, next_aux = self.fields(aux, "IHHII")
                versions.add(text.at(version))
                aux += next_aux
            at += step
        return {name: frozenset(versions) for name, versions in found.items()}

    def section_headers(self) -> Iterator[SectionHeader]:
        """As the file lists them: they may overlap, or lie outside of it."""
        form = f"II{self.word * 4}II{self.word * 2}"
        if self._sh_count > _MAX_HEADERS * 4 or (self._sh_count and self._sh_size < struct.calcsize("<" + form)):
            raise MalformedElfError(f"{self._sh_count} section headers of {self._sh_size} bytes")
        for number in range(self._sh_count):
            name, kind, _, _, offset, length, *_ = self.fields(self._sh_at + number * self._sh_size, form)
            yield SectionHeader(name, kind, offset, length)

    def _arm(self) -> dict[int, int]:
        """The build attributes stand in a section; no segment leads to them."""
        for section in self.section_headers():
            if section.kind == _SHT_ARM_ATTRIBUTES:
                try:
                    return attributes(self.at(section.offset, min(section.size, _MAX_NOTE_BYTES)), self.order)
                except MalformedAttributesError as err:
                    raise MalformedElfError(str(err)) from err
        return {}

    def _x86_isa(self) -> int:
        segment = next((segment for segment in self._segments if segment.kind == _PT_GNU_PROPERTY), None)
        if segment is None or segment.size > _MAX_NOTE_BYTES:
            return 0
        data = self.at(segment.offset, segment.size)
        if len(data) < 16 or data[12:16] != b"GNU\0":  # noqa: PLR2004 - three numbers and a name of four bytes
            return 0
        _, length, kind = struct.unpack_from(self.order + "III", data)
        if kind != _NOTE_PROPERTIES:
            return 0
        return self._property(data[16 : 16 + length], _X86_ISA_NEEDED)

    def _property(self, data: bytes, wanted: int) -> int:
        align = self.bits // 8
        while len(data) >= 12:  # noqa: PLR2004 - kind, length and one number
            kind, length, value = struct.unpack_from(self.order + "III", data)
            if kind == wanted:
                return int(value)
            data = data[8 + -(-length // align) * align :]
        return 0


class Strings:
    """
    The dynamic string table, found when the first string is wanted.

    A name may be the end of another one, as linkers save space; names that all overlap would be many times the file.
    """

    def __init__(self, reader: Reader, dynamic: dict[int, list[int]]) -> None:
        self._reader = reader
        self._dynamic = dynamic
        self._table: tuple[int, int] | None = None
        self._read: dict[int, str] = {}
        self._left = 0

    def at(self, offset: int) -> str:
        """The name that begins there."""
        if offset not in self._read:
            self._read[offset] = found = self._at(offset)
            self._left -= len(found)
            if self._left < 0:
                raise MalformedElfError("names that overlap")
        return self._read[offset]

    def _at(self, offset: int) -> str:
        if self._table is None:
            if _DT_STRTAB not in self._dynamic:
                raise MalformedElfError("names without a string table")
            start, left = self._reader.offset_of(self._dynamic[_DT_STRTAB][-1])
            self._table = start, min(left, self._dynamic.get(_DT_STRSZ, [left])[-1])
            self._left = _MAX_STRING + _MAX_OVERLAP * self._table[1]
        start, size = self._table
        if offset >= size:
            raise MalformedElfError("a name beyond its string table")
        return self._reader.string(start + offset, size - offset)


def _needed(dynamic: dict[int, list[int]], text: Strings) -> tuple[str, ...]:
    found = dynamic.get(_DT_NEEDED, [])
    if len(found) > _MAX_NEEDED:
        raise MalformedElfError(f"{len(found)} needed libraries")
    return tuple(text.at(offset) for offset in found)


def _paths(dynamic: dict[int, list[int]], tag: int, text: Strings) -> tuple[str, ...]:
    """Of several the loader takes the last."""
    return tuple(path for offset in dynamic.get(tag, [])[-1:] for path in text.at(offset).split(":"))
