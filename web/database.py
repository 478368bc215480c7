"""The database as the front-end sees it, connected to at the first question, in each worker by itself.

What the pages show is read by a connection that cannot write. What people do (log in, give orders) is written by
another, which is opened only when somebody does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from sqlalchemy import Engine, make_url
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
        self._writer: Engine | None = None
        self._lock = Lock()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent look at the database; raise UnavailableError if it does not answer or has no tables yet."""
        with _answering(), transaction(self._connected()) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction of what people own and ask for; raise UnavailableError as ``reading`` does."""
        with _answering(), transaction(self._opened_to_write()) as session:
            yield session

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for opened in (self._engine, self._writer):
                if opened is not None:
                    opened.dispose()
            self._engine = self._writer = None

    def _connected(self) -> Engine:
        with self._lock:
            if self._engine is None:
                made = engine(self._url, read_only=True)
                if made.dialect.name == "postgresql":
                    # What SQLite's read-only engine gives by itself: one snapshot, and no way to write.
                    made = made.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                self._engine = made
            return self._engine

    def _opened_to_write(self) -> Engine:
        with self._lock:
            if self._writer is None:
                url = make_url(self._url)
                if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
                    raise UnavailableError("there is no database yet")  # and opening would make one
                self._writer = engine(self._url)
            return self._writer


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (ProgrammingError, PoolTimeoutError) as err:
        raise UnavailableError(f"the database cannot be used: {str(err).splitlines()[0]}") from err
