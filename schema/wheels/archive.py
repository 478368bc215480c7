"""
A hostile wheel as an archive: its members by name, their bytes as a bounded, verified stream (A-05, T7).

The frame is checked by ``schema.wheels.framing`` before anything else. What is refused beyond it: names that leave the
folder or mean something to another system, one path as file and folder, bombs, wrong checksums. Names that differ only
in case are taken: the farm serves Linux, and terminfo trees need them.
"""

from __future__ import annotations

import os
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

from schema.wheels.finding import broken
from schema.wheels.framing import STORED, Frame, Member, frame

# Of all members together, inflated. It also keeps every offset of a canonical wheel below 4 GiB: no zip64 needed.
MAX_BYTES = 3 * 2**30

# PyPI's own rule since 2025: an archive that inflates beyond 64 MiB may not do so more than fifty-fold.
_RATIO_FREE_BYTES = 64 * 2**20
_MAX_RATIO = 50

_CHUNK = 1 << 18
_MAX_PARTS, _MAX_PART_BYTES = 64, 255
_DRIVE = re.compile(r"[A-Za-z]:")
# Cc controls, Cf invisible and bidirectional marks, Zl and Zp line ends that some readers of RECORD would obey
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class WheelArchive:
    """An open wheel whose frame is sound; a context manager. Members are files only; folder entries are left out."""

    def __init__(self, path: Path, file: BinaryIO, framed: Frame) -> None:
        self.path = path
        self.frame = framed
        self.members: dict[str, Member] = {item.name: item for item in framed.members if not item.is_folder}
        self._file = file

    @property
    def names(self) -> tuple[str, ...]:
        """The files' names in the central directory's order."""
        return tuple(self.members)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of one member piece by piece; raise WheelRejectedError if size or checksum are not as promised."""
        member = self.members[name]
        size, crc = 0, 0
        for chunk in self._inflated(member):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
            if size > member.size_bytes:
                break
            yield chunk
        if (size, crc) != (member.size_bytes, member.crc):
            raise broken("A-05", f"{name!r} does not hold the bytes that its header promises")

    def read(self, name: str, *, limit: int = 16 * 2**20) -> bytes:
        """The whole of one member of at most *limit* bytes."""
        if self.members[name].size_bytes > limit:
            raise broken("A-05", f"{name!r} has {self.members[name].size_bytes} bytes; at most {limit} are allowed")
        return b"".join(self.chunks(name))

    def raw(self, offset: int, length: int) -> bytes:
        """Bytes of the archive itself."""
        self._file.seek(offset)
        return self._file.read(length)

    def _packed(self, member: Member) -> Iterator[bytes]:
        at, stop = member.data_at, member.data_at + member.compressed_bytes
        while at < stop:
            # Sought anew for each piece, so that two members may be read in turns.
            piece = self.raw(at, min(_CHUNK, stop - at))
            if not piece:
                raise broken("A-05", f"the archive ends within {member.name!r}")
            at += len(piece)
            yield piece

    def _inflated(self, member: Member) -> Iterator[bytes]:
        if member.method == STORED:
            yield from self._packed(member)
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for piece in self._packed(member):
                if inflater.eof:
                    raise broken("A-05", f"{member.name!r} has bytes after the end of its compressed data")
                yield from _inflate(inflater, piece)
        except zlib.error:
            raise broken("A-05", f"{member.name!r} cannot be inflated") from None
        if not inflater.eof or inflater.unused_data:
            raise broken("A-05", f"the compressed data of {member.name!r} end too early or too late")


def read(path: Path, *, max_bytes: int = MAX_BYTES) -> WheelArchive:
    """Open the archive at *path*.

    max_bytes: of all members together, inflated

    Raise WheelRejectedError (A-05) unless every reader would see the same harmless members; OSError if the file cannot
    be read.
    """
    file = path.open("rb")
    try:
        size_bytes = file.seek(0, os.SEEK_END)
        framed = frame(file, size_bytes)
        _check_names(framed.members)
        _check_sizes(framed.members, size_bytes, max_bytes)
    except BaseException:
        file.close()
        raise
    return WheelArchive(path, file, framed)


def _inflate(inflater: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    """All that *piece* inflates to, never more than a chunk at a time."""
    while True:
        inflated = inflater.decompress(piece, _CHUNK)
        if inflated:
            yield inflated
        piece = inflater.unconsumed_tail
        if not piece and len(inflated) < _CHUNK:
            return


def _check_names(members: Iterable[Member]) -> None:
    files: set[str] = set()
    seen: set[str] = set()
    for member in members:
        fault = _fault_of(member.name)
        if fault:
            raise broken("A-05", f"the name {member.name!r} {fault}")
        path = member.name.removesuffix("/")
        if path in seen:
            raise broken("A-05", f"{path!r} is there twice")
        seen.add(path)
        if not member.is_folder:
            files.add(path)
    for path in seen:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in files:
                raise broken("A-05", f"{'/'.join(parts[:depth])!r} is both a file and a folder")


def _fault_of(name: str) -> str | None:
    parts = name.removesuffix("/").split("/")
    if not (name.isascii() and name.isprintable()) and any(unicodedata.category(char) in _UNSEEN for char in name):
        return "has characters that cannot be seen"
    if "\\" in name or _DRIVE.match(name):
        return "means another path on another system"
    if any(part in ("", ".", "..") for part in parts):
        return "leaves its folder or has empty parts"
    if len(parts) > _MAX_PARTS or any(len(part.encode()) > _MAX_PART_BYTES for part in parts):
        return f"has more than {_MAX_PARTS} parts, or one of more than {_MAX_PART_BYTES} bytes"
    return None


def _check_sizes(members: Iterable[Member], size_bytes: int, max_bytes: int) -> None:
    inflated = sum(member.size_bytes for member in members)
    if inflated > max_bytes:
        raise broken("A-05", f"the archive inflates to {inflated} bytes; at most {max_bytes} are allowed")
    if inflated > _RATIO_FREE_BYTES and inflated > _MAX_RATIO * size_bytes:
        raise broken("A-05", f"the archive inflates {inflated // size_bytes}-fold to {inflated} bytes: a bomb")
