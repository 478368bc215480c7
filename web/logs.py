"""The logs of builds, which the master writes to ``<logs>/<build>/<fence>.log``; what stands in them is hostile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from schema.printable import printable

_CHUNK_BYTES = 64 * 1024
_STEP = re.compile(r"^--- ([a-z-]{1,40})$", re.MULTILINE)
_MOST_SECTIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a log, inert. size_bytes: of the whole log; whole: whether this is all of it."""

    text: str
    size_bytes: int
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What was said in one step; name: of the step, "" before the first."""

    name: str
    text: str

    @property
    def lines(self) -> int:
        """How many there are."""
        return self.text.count("\n")


def sections(text: str) -> list[Section]:
    """A log by its steps; a hostile one may have lines that look like a step, so there are at most so many."""
    found, name, begin = [], "", 0
    for match in islice(_STEP.finditer(text), _MOST_SECTIONS):
        found.append(Section(name=name, text=text[begin : match.start()]))
        name, begin = match[1], match.end() + 1
    found.append(Section(name=name, text=text[begin:]))
    return [section for section in found if section.name or section.text]


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
