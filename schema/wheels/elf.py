"""
What an ELF file says of itself, read as the loader reads it: by its program headers, never by running or loading it.

Our own reader because the bytes are hostile: each loop and each read here is bounded. Tools that go by section headers
see what the loader ignores, and follow counts and sizes that a forged file can set to anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from schema.wheels.arm import MalformedAttributesError, attributes

MAGIC = b"\x7fELF"

RELOCATABLE, EXECUTABLE, SHARED = 1, 2, 3
NOTE, NOTHING = 7, 8  # kinds of sections

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_GNU_PROPERTY = 1, 2, 3, 0x6474E553
_SHT_ARM_ATTRIBUTES = 0x70000003
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_EM_ARM = 40

_NOTE_PROPERTIES = 5
_X86_ISA_NEEDED = 0xC0008002

# Far beyond what any linker writes.
_MAX_HEADERS = 4096
_MAX_DYNAMIC = 16_384
_MAX_STRING = 4096
_MAX_VERSIONS = 16_384
_MAX_NOTE_BYTES = 65_536


class MalformedElfError(ValueError):
    """The file begins like ELF, but its headers lead nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """One ELF file.

    bits: 32 or 64; byte_order: ``<`` or ``>``; kind: RELOCATABLE, EXECUTABLE, SHARED or another number
    versions: library → the symbol versions needed from it, such as ``GLIBC_2.34``
    search_paths: RPATH and RUNPATH, split at colons
    arm: public build attributes (tag → number) of an ARM file that has them
    x86_isa: bits of the x86-64 levels that the file says it needs: 1 baseline, 2 v2, 4 v3, 8 v4
    """

    bits: int
    byte_order: str
    machine: int
    kind: int
    flags: int
    interpreter: str | None = None
    soname: str | None = None
    needed: tuple[str, ...] = ()
    search_paths: tuple[str, ...] = ()
    versions: dict[str, frozenset[str]] = field(default_factory=dict)
    arm: dict[int, int] = field(default_factory=dict)
    x86_isa: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A named part of the file, for linkers and people; the loader goes by segments. kind: NOTHING has no bytes."""

    name: str
    kind: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def read(file: IO[bytes]) -> Elf:
    """Read a seekable *file* that begins with MAGIC; raise MalformedElfError, and nothing else but OSError."""
    return _Reader(file).elf()


def sections(file: IO[bytes]) -> tuple[Section, ...]:
    """The sections as the file lists them, which may overlap or lie outside of it; raise as ``read`` does."""
    return _Reader(file).sections()


class _Reader:
    """The state of one reading: the file and how its numbers are packed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        ident = self._at(0, 16)
        if ident[:4] != MAGIC or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise MalformedElfError("not an ELF header")
        self.bits = 32 if ident[4] == 1 else 64
        self.order = "<" if ident[5] == 1 else ">"
        self._word = "I" if self.bits == 32 else "Q"  # noqa: PLR2004
        self._segments: tuple[_Segment, ...] = ()

    def elf(self) -> Elf:
        kind, machine, _, _, ph_at, sh_at, flags, _, ph_size, ph_count, sh_size, sh_count, _ = self._header()
        self._segments = tuple(self._program_headers(ph_at, ph_size, ph_count))
        dynamic = self._dynamic()
        text = _Strings(self, dynamic)
        paths = [text.at(offset) for tag in (_DT_RPATH, _DT_RUNPATH) for offset in dynamic.get(tag, [])]
        return Elf(
            bits=self.bits,
            byte_order=self.order,
            machine=machine,
            kind=kind,
            flags=flags,
            interpreter=self._interpreter(),
            soname=next((text.at(offset) for offset in dynamic.get(_DT_SONAME, [])), None),
            needed=tuple(text.at(offset) for offset in dynamic.get(_DT_NEEDED, [])),
            search_paths=tuple(path for joined in paths for path in joined.split(":")),
            versions=self._versions(dynamic, text),
            arm=self._arm(sh_at, sh_size, sh_count) if machine == _EM_ARM else {},
            x86_isa=self._x86_isa(),
        )

    def sections(self) -> tuple[Section, ...]:
        _, _, _, _, _, at, _, _, _, _, size, count, names_in = self._header()
        headers = list(self._section_headers(at, size, count))
        if names_in >= len(headers):
            return ()
        _, _, names_at, names_size = headers[names_in]
        found = []
        for name, kind, offset, length in headers:
            if name >= names_size:
                raise MalformedElfError("a name beyond its string table")
            text = self.string(names_at + name, names_size - name)
            found.append(Section(name=text, kind=kind, offset=offset, size_bytes=length))
        return tuple(found)

    def _header(self) -> tuple[int, ...]:
        return self._fields(16, f"HHI{self._word * 3}IHHHHHH")

    def _at(self, offset: int, length: int) -> bytes:
        self._seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise MalformedElfError("a header leads beyond the end of the file")
        return data

    def _seek(self, offset: int) -> None:
        if offset >= 2**63:
            raise MalformedElfError("a header leads beyond the end of the file")
        self._file.seek(offset)

    def _fields(self, offset: int, form: str) -> tuple[int, ...]:
        packed = struct.Struct(self.order + form)
        return packed.unpack(self._at(offset, packed.size))

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
            fields = self._fields(at + number * size, form)
            if self.bits == 64:  # noqa: PLR2004
                kind, _, offset, address, _, length, _, _ = fields
            else:
                kind, offset, address, _, length, _, _, _ = fields
            yield _Segment(kind=kind, offset=offset, address=address, size=length)

    def _segment(self, kind: int) -> _Segment | None:
        found = [segment for segment in self._segments if segment.kind == kind]
        if len(found) > 1:
            raise MalformedElfError(f"{len(found)} segments of the kind {kind:#x}")
        return found[0] if found else None

    def _interpreter(self) -> str | None:
        segment = self._segment(_PT_INTERP)
        return self.string(segment.offset, segment.size) if segment and segment.size else None

    def _dynamic(self) -> dict[int, list[int]]:
        """The dynamic section: tag → its values. A file of debugging symbols keeps the segment but not its bytes."""
        segment = self._segment(_PT_DYNAMIC)
        if segment is None or segment.size == 0:
            return {}
        entry = struct.Struct(self.order + self._word * 2)
        count = segment.size // entry.size
        found: dict[int, list[int]] = {}
        data = self._at(segment.offset, min(count, _MAX_DYNAMIC) * entry.size)
        for tag, value in entry.iter_unpack(data):
            if tag == 0:
                return found
            found.setdefault(tag, []).append(value)
        raise MalformedElfError("the dynamic section has no end")

    def _versions(self, dynamic: dict[int, list[int]], text: _Strings) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        if _DT_VERNEED not in dynamic:
            return {}
        at, _ = self.offset_of(dynamic[_DT_VERNEED][-1])
        left = _MAX_VERSIONS
        for _ in range(min(dynamic.get(_DT_VERNEEDNUM, [0])[-1], _MAX_HEADERS)):
            _, count, name, first, step = self._fields(at, "HHIII")
            versions = found.setdefault(text.at(name), set())
            aux = at + first
            left -= count
            if left < 0:
                raise MalformedElfError(f"more than {_MAX_VERSIONS} symbol versions")
            for _ in range(count):
                _, _, _, version, next_aux = self._fields(aux, "IHHII")
                versions.add(text.at(version))
                aux += next_aux
            at += step
        return {name: frozenset(versions) for name, versions in found.items()}

    def _arm(self, at: int, size: int, count: int) -> dict[int, int]:
        """The build attributes stand in a section; no segment leads to them."""
        for _, kind, offset, length in self._section_headers(at, size, count):
            if kind == _SHT_ARM_ATTRIBUTES:
                try:
                    return attributes(self._at(offset, min(length, _MAX_NOTE_BYTES)), self.order)
                except MalformedAttributesError as err:
                    raise MalformedElfError(str(err)) from err
        return {}

    def _section_headers(self, at: int, size: int, count: int) -> Iterator[tuple[int, int, int, int]]:
        """Of each section: where in the table of names its name is, kind, offset and size."""
        form = f"II{self._word * 4}II{self._word * 2}"
        if count > _MAX_HEADERS * 4 or (count and size < struct.calcsize("<" + form)):
            raise MalformedElfError(f"{count} section headers of {size} bytes")
        for number in range(count):
            name, kind, _, _, offset, length, *_ = self._fields(at + number * size, form)
            yield name, kind, offset, length

    def _x86_isa(self) -> int:
        segment = next((segment for segment in self._segments if segment.kind == _PT_GNU_PROPERTY), None)
        if segment is None or segment.size > _MAX_NOTE_BYTES:
            return 0
        data = self._at(segment.offset, segment.size)
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


class _Strings:
    """The dynamic string table, found when the first string is wanted."""

    def __init__(self, reader: _Reader, dynamic: dict[int, list[int]]) -> None:
        self._reader = reader
        self._dynamic = dynamic
        self._table: tuple[int, int] | None = None

    def at(self, offset: int) -> str:
        if self._table is None:
            if _DT_STRTAB not in self._dynamic:
                raise MalformedElfError("names without a string table")
            start, left = self._reader.offset_of(self._dynamic[_DT_STRTAB][-1])
            self._table = start, min(left, self._dynamic.get(_DT_STRSZ, [left])[-1])
        start, size = self._table
        if offset >= size:
            raise MalformedElfError("a name beyond its string table")
        return self._reader.string(start + offset, size - offset)
