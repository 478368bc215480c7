"""Counts that nobody waits for: kept in memory, written down by a thread, within bounds whatever clients ask for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from schema.db.session import engine, transaction
from schema.errors import UnavailableError

log = logging.getLogger(__name__)

PAUSE_S = 10.0

K = TypeVar("K")


class WriteBehind(Generic[K]):
    """Counts of this process; the thread that writes them starts with the first.

    write: adds counts to the database; what: that is counted, for messages; most: so many keys are told apart
    """

    def __init__(
        self,
        url: str,
        write: Callable[[Session, Mapping[K, int]], None],
        *,
        what: str,
        most: int,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._url, self._write, self._what, self._most, self._pause_s = url, write, what, most, pause_s
        self._counts: dict[K, int] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_away = False

    def add(self, key: K) -> bool:
        """Count *key* once more; False if it is new and there is no room."""
        with self._lock:
            count = self._counts.get(key)
            if count is None and len(self._counts) >= self._most:
                return False
            self._counts[key] = (count or 0) + 1
            if self._thread is None:  # not before: whoever forks its workers would leave the thread behind
                self._thread = threading.Thread(target=self._run, name="write-behind", daemon=True)
                self._thread.start()
        return True

    def flush(self) -> None:
        """Write down what was counted; while the database is away it is kept for the next time."""
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            self._write_down(counts)
        except (UnavailableError, SQLAlchemyError) as err:
            self._keep(counts)
            if not self._is_away:
                log.warning("%s cannot be written down now: %s", self._what, str(err).splitlines()[0])
            self._is_away = True
        else:
            self._is_away = False

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._pause_s)
            try:
                self.flush()
            except Exception:  # the next turn may do better
                log.exception("%s: not written down", self._what)

    def _write_down(self, counts: Mapping[K, int]) -> None:
        """By a connection of its own, closed again: a few times a minute, and nobody waits."""
        database = self._opened()
        try:
            with transaction(database) as session:
                self._write(session, counts)
        finally:
            database.dispose()

    def _opened(self) -> Engine:
        url = make_url(self._url)
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
            raise UnavailableError("there is no database yet")  # and opening would make one
        return engine(self._url)

    def _keep(self, counts: Mapping[K, int]) -> None:
        with self._lock:
            for key, count in counts.items():
                if key in self._counts or len(self._counts) < self._most:
                    self._counts[key] = self._counts.get(key, 0) + count
