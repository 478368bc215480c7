"""Read every file of the store and compare it with its digest: bit rot is found before a person finds it (R19)."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from master import marks
from master.keep import damage, named
from master.store import PREFIXES, Store
from schema.db.session import now, transaction
from schema.errors import StoreError
from schema.names import Sha256

_TURN_BYTES = 64 * 2**20
_FILE_COSTS_BYTES = 64 * 2**10  # what opening a file takes, told as if it had been read
_NICE = 15
_UNREADABLE = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file that is not what it should be.

    what: ``is damaged``, ``is missing``, or why it cannot be read; wheels: those that were withdrawn because of it
    """

    digest: Sha256
    what: str
    wheels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubbed:
    """What a walk through the whole store came to."""

    files: int
    size_bytes: int
    damaged: tuple[Damage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What is scrubbed: the *store*, the rows that need its files, and the *site* whose links are the same bytes."""

    database: Engine
    store: Store
    site: Path

    def digests(self, *, after: str = "") -> Iterator[Sha256]:
        """What is there and what should be there, in order, from behind the digest *after*."""
        for prefix in PREFIXES:
            if prefix < after[:2]:
                continue
            with transaction(self.database) as session:
                needed = named.below(session, prefix)
            yield from (digest for digest in sorted(needed.union(self.store.below(prefix))) if digest > after)

    def look(self, digest: Sha256) -> tuple[int, Damage | None]:
        """How many bytes were read, and what is wrong with them, which is dealt with already."""
        path = self.store.path(digest)
        size_bytes, what = _problem(path, digest)
        if what is None or _problem(path, digest)[1] is None:  # a second reading: memory and cables err too
            return size_bytes, None
        wheels = damage.withdraw(self.database, self.store, self.site, digest, why=what)
        if what == _MISSING and not wheels:  # gc was faster
            return size_bytes, None
        return size_bytes, Damage(digest=digest, what=what, wheels=wheels)


_MISSING = "is missing"


def scrub(shelf: Shelf, *, tell: Callable[[int, Damage | None], object] = lambda _files, _found: None) -> Scrubbed:
    """The whole store at once; *tell* hears of each file: how many were read, and what is wrong with this one."""
    files = size_bytes = 0
    damaged = []
    for digest in shelf.digests():
        read, found = shelf.look(digest)
        files, size_bytes = files + 1, size_bytes + read
        if found is not None:
            damaged.append(found)
        tell(files, found)
    return Scrubbed(files=files, size_bytes=size_bytes, damaged=tuple(damaged))


class Scrubber:
    """The same in small turns, so that the store is walked once in *scrub_s*; a restart goes on where it was."""

    def __init__(self, shelf: Shelf, *, scrub_s: float, turn_bytes: int = _TURN_BYTES) -> None:
        self._shelf, self._pace, self._turn_bytes = shelf, timedelta(seconds=scrub_s), turn_bytes
        self._cursor = ""
        self._started_at: datetime | None = None
        self._finished = False
        self._ahead: Iterator[Sha256] | None = None

    def turn(self) -> list[Damage]:
        """Read a bounded number of bytes, if the walk is behind its time-table."""
        if self._ahead is None:
            self._begin()
        if not self._is_due():
            return []
        found, left = [], self._turn_bytes
        for digest in self._ahead or ():
            read, problem = self._shelf.look(digest)
            left -= read + _FILE_COSTS_BYTES
            self._cursor = digest
            if problem is not None:
                found.append(problem)
            if left <= 0:
                break
        else:
            self._finished = True
        self._note(found)
        return found

    def _begin(self) -> None:
        """Go on where the mark says; a new walk begins when the time of the last one is over."""
        # Linux gives each thread its own niceness: reading the store must not slow what people wait for.
        if threading.current_thread() is not threading.main_thread():
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        with transaction(self._shelf.database) as session:
            mark, moment = marks.at(session, "scrub"), now(session)
            if mark.started_at is None:
                mark.started_at = moment
            self._started_at, self._cursor = mark.started_at, mark.cursor
            self._finished = mark.finished_at is not None and mark.finished_at >= mark.started_at
            mark.total = len(PREFIXES)
        self._ahead = self._shelf.digests(after=self._cursor)

    def _is_due(self) -> bool:
        assert self._started_at is not None  # noqa: S101 - set by _begin, stated for mypy
        share = (datetime.now(UTC) - self._started_at) / self._pace
        if not self._finished:
            return _share(self._cursor) <= share
        if share >= 1:
            with transaction(self._shelf.database) as session:
                mark = marks.at(session, "scrub")
                mark.started_at, mark.cursor, mark.done, mark.note = now(session), "", 0, ""
            self._ahead = None
            self._begin()
        return not self._finished

    def _note(self, found: list[Damage]) -> None:
        with transaction(self._shelf.database) as session:
            mark = marks.at(session, "scrub")
            mark.cursor = "" if self._finished else self._cursor
            mark.done = len(PREFIXES) if self._finished else int(self._cursor[:2] or "0", 16)
            if self._finished:
                mark.finished_at = now(session)
            if found:
                mark.note = f"the last damage: {found[-1].digest} {found[-1].what}"


def _share(cursor: str) -> float:
    """How much of the walk lies before *cursor*: digests are spread evenly."""
    return int(cursor[:8], 16) / 16**8 if cursor else 0.0


def _problem(path: Path, digest: Sha256) -> tuple[int, str | None]:
    """How many bytes were read, and what is wrong with the file."""
    try:
        with path.open("rb", buffering=0) as file:
            # What the disk holds counts, not what memory remembers of it; and nobody else's cache is driven out.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            found = hashlib.file_digest(file, "sha256").hexdigest()
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return os.fstat(file.fileno()).st_size, None if found == digest else "is damaged"
    except FileNotFoundError:
        return 0, _MISSING
    except OSError as err:
        if err.errno in _UNREADABLE:
            return 0, f"cannot be read: {err.strerror}"
        raise StoreError(f"{path} cannot be read: {err.strerror}") from err
