"""Downloads out of the access log of a server that stands before the front-end, each line counted once.

The log is in the *combined* format, as nginx and Apache write it; addresses and user names in it are not looked at.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import marks
from master.batches import batches
from schema import clients
from schema.db import downloads
from schema.db.downloads import Fetched
from schema.db.models import Mark, Wheel
from schema.db.session import now, transaction
from schema.errors import UsageError

MARK = "downloads-log"

_LINES_AT_ONCE = 50_000
_LINE_LIMIT, _PIECE = 16 * 2**10, 2**20
_LOGS_REMEMBERED = 50
_NAMES_AT_ONCE = 500
_LINE = re.compile(
    r"\S+ \S+ \S+ \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"
    r' "GET /files/([^/\s"?]+\.whl)(?:\?\S*)? HTTP/[\d.]+" 200 \d+ "[^"]*" "((?:[^"\\]|\\.)*)"'
)
_ESCAPED = re.compile(r'\\x([0-9A-Fa-f]{2})|\\(["\\])')


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """lines: that were new; downloads: of the farm's files, that were counted."""

    lines: int
    downloads: int


def take(database: Engine, file: Path) -> Taken:
    """Count what *file* (a log, or one that was packed with gzip) has that was not counted yet.

    How far it was read is remembered by its first line, so that it may be renamed or packed meanwhile. A last line that
    is still being written is left for the next time. Raise UsageError for a file that cannot be read.
    """
    lines = counted = 0
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as log:
            name = hashlib.sha256(log.readline(_LINE_LIMIT)).hexdigest()[:32]
            while True:
                with transaction(database) as session:
                    read, found = _take_some(session, cast("BinaryIO", log), name)
                lines, counted = lines + read, counted + found
                if read < _LINES_AT_ONCE:
                    return Taken(lines=lines, downloads=counted)
    except (OSError, EOFError) as err:
        raise UsageError(f"{file} cannot be read: {err}") from err


def _take_some(session: Session, log: BinaryIO, name: str) -> tuple[int, int]:
    """The next lines, and the place behind them, in one transaction: both or neither."""
    # One at a time: several machines may each have a log.
    session.execute(select(Mark.name).where(Mark.name == MARK).with_for_update())
    mark = marks.at(session, MARK)
    places: dict[str, int] = json.loads(mark.cursor or "{}")
    place = places.pop(name, 0)
    log.seek(place)
    latest = now(session).astimezone(UTC).date() + timedelta(days=1)
    read, found = 0, Counter[Fetched]()
    for line in islice(_whole_lines(log), _LINES_AT_ONCE):
        read, place = read + 1, place + len(line)
        if (fetched := _fetched(line)) and fetched.day <= latest:
            found[fetched] += 1
    known = _served(session, sorted({fetched.filename for fetched in found}))
    counts = {fetched: count for fetched, count in found.items() if fetched.filename in known}
    downloads.add(session, counts)
    if read:
        kept = list(places.items())[1 - _LOGS_REMEMBERED :]
        mark.cursor = json.dumps({**dict(kept), name: place})
    return read, sum(counts.values())


def _whole_lines(log: BinaryIO) -> Iterator[bytes]:
    while (line := log.readline(_PIECE)) and (line.endswith(b"\n") or len(line) == _PIECE):
        yield line


def _fetched(line: bytes) -> Fetched | None:
    """None for a line that is no download of a whole wheel."""
    found = _LINE.match(line.decode("utf-8", "replace")) if len(line) <= _LINE_LIMIT else None
    if found is None:
        return None
    day = _day(found[1])
    agent = _ESCAPED.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], found[3])
    return Fetched(day, unquote(found[2]), clients.client(agent)) if day else None


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC).date()
    except (ValueError, OverflowError):
        return None


def _served(session: Session, filenames: Sequence[str]) -> set[str]:
    """Those that are the farm's: names that clients make up are not counted."""
    named = (name for name in filenames if "\0" not in name)
    return {
        name
        for batch in batches(named, _NAMES_AT_ONCE)
        for name in session.scalars(select(Wheel.filename).where(Wheel.filename.in_(batch)))
    }
