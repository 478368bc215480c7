"""The sections of an ELF file: its parts by name, for linkers and people; the loader goes by segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from schema.wheels.elf import MalformedElfError, Reader

SYMBOLS, NOTE, NOTHING = 2, 7, 8  # kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One of them; kind: NOTHING has no bytes in the file."""

    name: str
    kind: int
    offset: int
    size_bytes: int


def sections(file: IO[bytes]) -> tuple[Section, ...]:
    """As the file lists them, which may overlap or lie outside of it; none where it has no names for them.

    Raise MalformedElfError, and nothing else but OSError.
    """
    reader = Reader(file)
    headers = list(reader.section_headers())
    if reader.names_section >= len(headers):
        return ()
    names = headers[reader.names_section]
    found = []
    for header in headers:
        if header.name >= names.size:
            raise MalformedElfError("a name beyond its string table")
        text = reader.string(names.offset + header.name, names.size - header.name)
        found.append(Section(name=text, kind=header.kind, offset=header.offset, size_bytes=header.size))
    return tuple(found)
