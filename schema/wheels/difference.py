"""Where the bytes of one file in two wheels first part, and whether that is known to be harmless."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import zip_longest
from typing import IO

from schema.printable import one_line
from schema.wheels import elf
from schema.wheels.sections import NOTE, NOTHING, Section, sections

BUILD_ID = "ELF build ids"
SOURCE_TIME = "times in bytecode"

_CHUNK = 1 << 18
_BINARY_WITHIN = 8192  # a NUL among the first bytes: by the same rule git takes a file for binary
_SHOWN = 60
_MAX_LINE = 4096

# A note's header (three numbers) and the name GNU; what follows is the id.
_NOTE = struct.Struct("3I4s")
_NT_GNU_BUILD_ID = 3
_MAX_ID_BYTES = 64

# Bytecode: a magic number, flags, the time and the size of the source (PEP 552).
_PYC_HEADER, _PYC_FLAGS, _PYC_TIME = 16, slice(4, 8), (8, 12)

Range = tuple[int, int]


def find(name: str, one: IO[bytes], other: IO[bytes]) -> tuple[str, str]:
    """How two files of that name, which are not the same, differ: ``(what is harmless, "")`` or ``("", the place)``.

    one, other: seekable; any bytes will do
    place: ``section .text``, ``line 3: 'a' / 'b'``, or ``byte 17`` (from 0)
    """
    if all(_head(file, len(elf.MAGIC)) == elf.MAGIC for file in (one, other)):
        return _in_elf(one, other)
    masked = _source_time(one, other) if name.endswith(".pyc") else ()
    at = _first_byte(one, other, masked)
    return (SOURCE_TIME, "") if at is None else ("", _place(one, other, at))


def _in_elf(one: IO[bytes], other: IO[bytes]) -> tuple[str, str]:
    try:
        left, right = sections(one), sections(other)
    except elf.MalformedElfError:
        left, right = (), ()
    ids = _build_id(one, left), _build_id(other, right)
    masked = ids[0] if ids[0] == ids[1] else ()
    at = _first_byte(one, other, masked)
    if at is None:
        return BUILD_ID, ""
    section = _first_section(one, other, left, right) or _section_at(at, left)
    return "", f"section {one_line(section, limit=_SHOWN)}" if section else f"byte {at}"


def _first_section(one: IO[bytes], other: IO[bytes], left: Sequence[Section], right: Sequence[Section]) -> str | None:
    """The name of the first section that is not in both with the same bytes; None if what differs is in none.

    Sections of a forged file may all be the whole of it: no more bytes are read than the file has.
    """
    allowed_bytes = min(_size(one), _size(other))
    for mine, theirs in zip_longest(left, right):
        if mine is None or theirs is None:
            return next(item.name for item in (mine, theirs) if item is not None)
        if (mine.name, mine.kind) != (theirs.name, theirs.kind):
            return mine.name
        if mine.kind == NOTHING or _is_build_id(one, mine):
            continue
        allowed_bytes -= mine.size_bytes
        if allowed_bytes < 0:
            return None
        if mine.size_bytes != theirs.size_bytes or not _same(one, other, mine, theirs.offset):
            return mine.name
    return None


def _section_at(at: int, sections: Sequence[Section]) -> str | None:
    return next(
        (item.name for item in sections if item.kind != NOTHING and 0 <= at - item.offset < item.size_bytes), None
    )


def _same(one: IO[bytes], other: IO[bytes], section: Section, other_offset: int) -> bool:
    for at in range(0, section.size_bytes, _CHUNK):
        length = min(_CHUNK, section.size_bytes - at)
        if _bytes(one, section.offset + at, length) != _bytes(other, other_offset + at, length):
            return False
    return True


def _build_id(file: IO[bytes], sections: Sequence[Section]) -> Sequence[Range]:
    """Where the id itself lies, which is made of all other bytes of a link: (), or one range."""
    found = [section for section in sections if _is_build_id(file, section)]
    return [(section.offset + _NOTE.size, section.offset + section.size_bytes) for section in found[:1]]


def _is_build_id(file: IO[bytes], section: Section) -> bool:
    """A section that is one such note; other code cannot pass as harmless under this name."""
    length = section.size_bytes - _NOTE.size
    if section.kind != NOTE or section.name != ".note.gnu.build-id" or not 0 < length <= _MAX_ID_BYTES:
        return False
    header = _bytes(file, section.offset, _NOTE.size)
    return any(header == struct.pack(f"{order}3I4s", 4, length, _NT_GNU_BUILD_ID, b"GNU\0") for order in "<>")


def _source_time(one: IO[bytes], other: IO[bytes]) -> Sequence[Range]:
    """Where bytecode tells the time of its source: it decides only whether Python compiles anew."""
    heads = _head(one, _PYC_HEADER), _head(other, _PYC_HEADER)
    by_time = all(len(head) == _PYC_HEADER and head[_PYC_FLAGS] == bytes(4) for head in heads)
    return [_PYC_TIME] if by_time else ()


def _first_byte(one: IO[bytes], other: IO[bytes], masked: Sequence[Range]) -> int | None:
    """The offset from which on the files differ outside of the *masked* ranges; None if they do not."""
    one.seek(0)
    other.seek(0)
    at = 0
    while True:
        left, right = (_blanked(file.read(_CHUNK), at, masked) for file in (one, other))
        if left != right:
            differing = (number for number, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1])
            return at + next(differing, min(len(left), len(right)))
        if not left:
            return None
        at += len(left)


def _blanked(chunk: bytes, at: int, masked: Sequence[Range]) -> bytes:
    for start, stop in masked:
        first, last = max(start - at, 0), min(stop - at, len(chunk))
        if first < last:
            chunk = chunk[:first] + bytes(last - first) + chunk[last:]
    return chunk


def _place(one: IO[bytes], other: IO[bytes], at: int) -> str:
    if any(b"\0" in _head(file, _BINARY_WITHIN) for file in (one, other)):
        return f"byte {at}"
    number, begin = 1, 0
    for start in range(0, at, _CHUNK):
        chunk = _bytes(one, start, min(_CHUNK, at - start))
        number += chunk.count(b"\n")
        begin = start + chunk.rindex(b"\n") + 1 if b"\n" in chunk else begin
    return f"line {number}: {_line(one, begin)} / {_line(other, begin)}"


def _line(file: IO[bytes], begin: int) -> str:
    text = _bytes(file, begin, _MAX_LINE).partition(b"\n")[0]
    return repr(one_line(text.decode("utf-8", "backslashreplace"), limit=_SHOWN))


def _bytes(file: IO[bytes], offset: int, length: int) -> bytes:
    """What the file has there: nothing where a forged header leads out of it."""
    size = _size(file)
    if offset >= size:
        return b""
    file.seek(offset)
    return file.read(length)


def _head(file: IO[bytes], length: int) -> bytes:
    return _bytes(file, 0, length)


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)
