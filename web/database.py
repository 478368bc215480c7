"""The database as the pages see it: read only, and connected to at the first question, in each worker by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from schema.db.session import engine, transaction
from schema.errors import UnavailableError

log = logging.getLogger(__name__)


class Database:
    """The farm's database; nothing is opened before ``reading`` is used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._lock = Lock()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent look at the database; raise UnavailableError if it does not answer or has no tables yet."""
        try:
            with transaction(self._connected()) as session:
                yield session
        except (ProgrammingError, PoolTimeoutError) as err:
            raise UnavailableError(f"the database cannot be read: {str(err).splitlines()[0]}") from err

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _connected(self) -> Engine:
        with self._lock:
            if self._engine is None:
                made = engine(self._url, read_only=True)
                if made.dialect.name == "postgresql":
                    # What SQLite's read-only engine gives by itself: one snapshot, and no way to write.
                    made = made.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                self._engine = made
            return self._engine
