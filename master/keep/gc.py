"""Take away what nobody needs any more: files in the store, left-overs of killed processes, old logs, old rows.

Nothing is ever removed because it looks unneeded once. A file goes to the store's ``.removed`` folder first; there, in
one transaction, it is looked at again, and comes back if a wheel names it or somebody has just written it.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import builds, marks
from master.keep import named, old
from master.store import PREFIXES, Store
from schema.db.session import now, transaction
from schema.errors import StoreError
from schema.names import Sha256
from schema.sections import KeepSection

log = logging.getLogger(__name__)

# A publish writes its files, then waits for the database, then names them: whatever the settings say, it has this long.
LEAST_GRACE_S = 600.0
_DAY = timedelta(days=1)
_AT_ONCE = 500
_LEFT_OVERS = (".incoming-*", ".checking-*", ".partial-*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubbish:
    """Something that is, or would be, removed; kind: ``file``, ``left-over`` or ``log``."""

    kind: str
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Finds and removes rubbish; times are by the database's clock for rows, by this machine's for files."""

    database: Engine
    store: Store
    logs: Path
    keep: KeepSection

    def find(self) -> Iterator[Rubbish]:
        """What ``remove`` would take now; nothing is changed."""
        for prefix in PREFIXES:
            yield from map(self._file, self._unneeded(prefix))
        yield from self._left_overs()
        for walk in old.WALKS:
            yield from self._walk_logs(walk, remove=False)

    def remove(self) -> Iterator[Rubbish]:
        """Take all of it away, in batches."""
        for prefix in PREFIXES:
            yield from self._remove_below(prefix)
        yield from self._remove_left_overs()
        for walk in old.WALKS:
            yield from self._walk_logs(walk, remove=True)
        with transaction(self.database) as session:
            old.forget_rows(session)
        while self._fold():
            pass

    def turn(self) -> bool:
        """The master's share: a 256th of the store each time, and a batch of logs; say whether there was work to do.

        A round begins once a day.
        """
        with transaction(self.database) as session:
            place = _place(session)
        if place is None:
            return False
        removed = list(self._remove_below(PREFIXES[place]))
        for walk in old.WALKS:
            removed += self._logs_once(walk, remove=True)[0]
        if place == len(PREFIXES) - 1:
            removed += self._remove_left_overs()
        with transaction(self.database) as session:
            if place == len(PREFIXES) - 1:
                old.forget_rows(session)
            _advance(session, place, removed)
        self._fold()
        return True

    def _fold(self) -> bool:
        with transaction(self.database) as session:
            return old.fold_downloads(session, self.keep)

    def _unneeded(self, prefix: str) -> list[Sha256]:
        """What is old enough, and named by no wheel, or only by one that was removed long ago."""
        there = self.store.below(prefix)
        if not there:
            return []
        with transaction(self.database) as session:
            needed = named.below(session, prefix, removed_since=self._removed_since(session))
        return [digest for digest in there if digest not in needed and self._is_old(self.store.path(digest))]

    def _remove_below(self, prefix: str) -> Iterator[Rubbish]:
        unneeded = self._unneeded(prefix)
        for start in range(0, len(unneeded), _AT_ONCE):
            yield from self._remove_files(unneeded[start : start + _AT_ONCE])
        if not unneeded and self._graves():
            yield from self._remove_files([])  # of a process that was killed in between

    def _remove_files(self, unneeded: Sequence[Sha256]) -> list[Rubbish]:
        grave = self.store.folder / ".removed"
        with _naming(self.store.folder):
            grave.mkdir(exist_ok=True)
            for digest in unneeded:
                with suppress(FileNotFoundError):
                    self.store.path(digest).replace(grave / digest)
        return self._settle(self._graves())

    def _settle(self, graves: Sequence[Path]) -> list[Rubbish]:
        """The second look: back to its place with what is needed after all, away with the rest."""
        removed = []
        with transaction(self.database) as session, _naming(self.store.folder):
            since = self._removed_since(session)
            needing = named.wheels(session, [Sha256(path.name) for path in graves], removed_since=since)
            needed = {digest for wheel in needing for digest in named.digests(wheel)}
            for path in graves:
                digest = Sha256(path.name)
                with suppress(FileNotFoundError):
                    if digest in needed or not self._is_old(path):
                        self.store.path(digest).parent.mkdir(exist_ok=True)
                        path.replace(self.store.path(digest))
                        continue
                    removed.append(self._file(digest, path))
                    path.unlink()
            for project_id in sorted({wheel.project_id for wheel in needing}):
                builds.touch_page(session, project_id)  # its page may have been rendered without the file
        return removed

    def _graves(self) -> list[Path]:
        return sorted((self.store.folder / ".removed").glob("*"))

    def _file(self, digest: Sha256, path: Path | None = None) -> Rubbish:
        path = path or self.store.path(digest)
        return Rubbish(kind="file", path=self.store.path(digest), size_bytes=_size(path))

    def _is_old(self, path: Path) -> bool:
        grace_s = max(self.keep.orphans_s, LEAST_GRACE_S)
        try:
            return path.stat().st_mtime < time.time() - grace_s
        except FileNotFoundError:
            return False

    def _removed_since(self, session: Session) -> datetime:
        return now(session) - timedelta(seconds=self.keep.removed_s)

    def _left_overs(self) -> Iterator[Rubbish]:
        for pattern in _LEFT_OVERS:
            for path in sorted(self.store.folder.glob(pattern)):
                if self._is_old(path):
                    yield Rubbish(kind="left-over", path=path, size_bytes=_size(path))

    def _remove_left_overs(self) -> Iterator[Rubbish]:
        for item in self._left_overs():
            with _naming(item.path), suppress(FileNotFoundError):
                shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink()
            yield item

    def _walk_logs(self, walk: old.LogWalk, *, remove: bool) -> Iterator[Rubbish]:
        found, after = self._logs_once(walk, remove=remove)
        while after is not None:
            yield from found
            found, after = self._logs_once(walk, remove=remove, after=after)
        yield from found

    def _logs_once(
        self, walk: old.LogWalk, *, remove: bool, after: int | None = None
    ) -> tuple[list[Rubbish], int | None]:
        """A batch of old logs, and where to go on; None at the end."""
        with transaction(self.database) as session:
            batch = old.logs(session, walk, self.keep, after=after)
        found = []
        for attempt in batch.attempts:
            path = self.logs / str(attempt.build_id) / f"{attempt.fence}.log"
            if path.is_file():
                found.append(Rubbish(kind="log", path=path, size_bytes=_size(path)))
            if remove:
                with _naming(path):
                    path.unlink(missing_ok=True)
                with suppress(OSError):  # other attempts' logs are in it
                    path.parent.rmdir()
        if remove and batch.end is not None:
            with transaction(self.database) as session:
                old.passed(session, walk, batch.end)
        return found, batch.end


def _place(session: Session) -> int | None:
    """Which part of the store comes next in the day's round; None if that is done."""
    mark, moment = marks.at(session, "gc"), now(session)
    if mark.finished_at is not None and (mark.started_at is None or mark.finished_at >= mark.started_at):
        if moment - mark.finished_at < _DAY:
            return None
        mark.cursor, mark.note, mark.started_at = "", "", moment
    if mark.started_at is None:
        mark.started_at = moment
    mark.total = len(PREFIXES)
    return int(mark.cursor or "0")


def _advance(session: Session, place: int, removed: Sequence[Rubbish]) -> None:
    mark = marks.at(session, "gc")
    mark.done = place + 1
    mark.cursor = str(place + 1)
    if removed:
        size = sum(item.size_bytes for item in removed)
        mark.note = f"the last that went: {len(removed)} files, {size / 2**20:.1f} MiB"
        log.info("gc: %s files removed, %.1f MiB", len(removed), size / 2**20)
    if mark.done == len(PREFIXES):
        mark.finished_at, mark.cursor = now(session), ""


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class _naming:  # noqa: N801 - read as a word
    """Turn what the operating system says into a StoreError that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, err: BaseException | None, _trace: object) -> None:
        if isinstance(err, OSError):
            raise StoreError(f"{err.filename or self._path} cannot be removed: {err.strerror}") from err
