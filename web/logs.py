"""The logs of builds, which the master writes to ``<logs>/<build>/<fence>.log``; what stands in them is hostile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schema.printable import printable

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a log, inert. size_bytes: of the whole log; whole: whether this is all of it."""

    text: str
    size_bytes: int
    whole: bool


def path(folder: Path, build_id: int, fence: int) -> Path:
    """Where the log of that attempt lies, if there is one; made of numbers only."""
    return folder / f"{build_id:d}" / f"{fence:d}.log"


def tail(file: Path, *, limit_bytes: int) -> Tail | None:
    """At most the last *limit_bytes* of *file*, from the beginning of a line; None if there is no log."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            begin = max(size - limit_bytes, 0)
            opened.seek(begin)
            data = opened.read(limit_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if begin:
        data = data.partition(b"\n")[2] or data
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return Tail(text=printable(text), size_bytes=size, whole=not begin)


def pieces(file: Path, size_bytes: int) -> Iterator[bytes]:
    """The first *size_bytes* of a log that may grow meanwhile."""
    with file.open("rb") as opened:
        while size_bytes > 0 and (data := opened.read(min(_CHUNK_BYTES, size_bytes))):
            size_bytes -= len(data)
            yield data
