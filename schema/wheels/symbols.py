"""
Which functions an ELF file takes from others, and what it keeps for debuggers; apart from ``elf``, for it costs more.

The symbol table is found as the loader finds it, by the dynamic section. What is kept for debuggers stands only in
sections, and is what the file claims: nothing depends on it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import StrEnum
from typing import IO

from schema.wheels.elf import MalformedElfError, Reader, Strings
from schema.wheels.sections import SYMBOLS, sections

_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_SYMENT, _DT_GNU_HASH = 4, 5, 6, 11, 0x6FFFFEF5
# Those of strings, versions and relocations: every other table that linkers put beside the symbols.
_TABLES = (_DT_STRTAB, _DT_GNU_HASH, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFE, 7, 17, 23, 36)
_EM_S390 = 22
_DEBUG_INFO = frozenset({".debug_info", ".zdebug_info"})

# More than the largest libraries have; a forged table is not read beyond it.
_MAX_SYMBOLS = 1 << 20
_MAX_UNDEFINED = 1 << 16
_AT_ONCE = 4096


class Kept(StrEnum):
    """What of its symbols a file keeps beyond those that the loader needs."""

    NOTHING = "stripped"
    SYMBOLS = "symbols"
    DEBUG_INFO = "debug info"


def undefined(file: IO[bytes]) -> frozenset[str] | None:
    """The symbols that an ELF file takes from others; None where it has no dynamic symbols, as static programs.

    Raise MalformedElfError, and nothing else but OSError.
    """
    reader = Reader(file)
    dynamic = reader.dynamic()
    if _DT_SYMTAB not in dynamic:
        return None
    text = Strings(reader, dynamic)
    found = set()
    for name in _undefined(reader, dynamic):
        found.add(text.at(name))
        if len(found) > _MAX_UNDEFINED:
            raise MalformedElfError(f"more than {_MAX_UNDEFINED} undefined symbols")
    return frozenset(found)


def kept(file: IO[bytes]) -> Kept:
    """What is left for debuggers; raise MalformedElfError, and nothing else but OSError."""
    if any(section.name in _DEBUG_INFO for section in sections(file)):
        return Kept.DEBUG_INFO
    return Kept.SYMBOLS if any(item.kind == SYMBOLS for item in Reader(file).section_headers()) else Kept.NOTHING


def _undefined(reader: Reader, dynamic: dict[int, list[int]]) -> Iterator[int]:
    """Where the names of the undefined symbols begin; the first symbol stands for none."""
    packed = struct.Struct(reader.order + ("IIIBBH" if reader.bits == 32 else "IBBHQQ"))  # noqa: PLR2004
    entry_bytes = dynamic.get(_DT_SYMENT, [packed.size])[-1]
    if entry_bytes != packed.size:
        raise MalformedElfError(f"symbols of {entry_bytes} bytes")
    at, left = reader.offset_of(dynamic[_DT_SYMTAB][-1])
    count = _symbols(reader, dynamic, entry_bytes)
    if count > min(_MAX_SYMBOLS, left // entry_bytes):
        raise MalformedElfError(f"{count} symbols where there is no room for them")
    for first in range(1, count, _AT_ONCE):
        some = min(_AT_ONCE, count - first)
        for symbol in packed.iter_unpack(reader.at(at + first * entry_bytes, some * entry_bytes)):
            section = symbol[5] if reader.bits == 32 else symbol[3]  # noqa: PLR2004
            if section == 0 and symbol[0]:
                yield symbol[0]


def _symbols(reader: Reader, dynamic: dict[int, list[int]], entry_bytes: int) -> int:
    """How many symbols there are; no header tells it, so it is read off the hash tables."""
    if _DT_HASH in dynamic:
        at, _ = reader.offset_of(dynamic[_DT_HASH][-1])
        # s390x alone has 64-bit numbers here.
        _, count = reader.fields(at, "QQ" if reader.machine == _EM_S390 and reader.bits == 64 else "II")  # noqa: PLR2004
        return count
    if _DT_GNU_HASH in dynamic and (count := _hashed(reader, dynamic[_DT_GNU_HASH][-1])):
        return count
    # Nothing is hashed: the table ends where another begins.
    start = dynamic[_DT_SYMTAB][-1]
    beyond = [value for tag in _TABLES for value in dynamic.get(tag, []) if value > start]
    return (min(beyond, default=start) - start) // entry_bytes


def _hashed(reader: Reader, address: int) -> int:
    """The symbols up to the last one of the GNU hash table, where the last chain ends; 0 if the table is empty."""
    at, left = reader.offset_of(address)
    buckets, first, bloom_words, _ = reader.fields(at, "IIII")
    if buckets > _MAX_SYMBOLS:
        raise MalformedElfError(f"{buckets} buckets of symbols")
    buckets_at = at + 16 + bloom_words * reader.bits // 8
    last = max(reader.fields(buckets_at, f"{buckets}I"), default=0)
    if last < first:
        return 0
    chain_at = buckets_at + 4 * (buckets + last - first)
    links = min((at + left - chain_at) // 4, _MAX_SYMBOLS - last)
    for begin in range(0, links, _AT_ONCE):
        some = reader.fields(chain_at + 4 * begin, f"{min(_AT_ONCE, links - begin)}I")
        for number, link in enumerate(some, last + begin):
            if link & 1:
                return number + 1
    raise MalformedElfError("a chain of symbols without its end")
