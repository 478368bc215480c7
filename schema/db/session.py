"""Engines and sessions, on SQLite (WAL) and PostgreSQL alike, and the database's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from schema.errors import UnavailableError

_SQLITE_BUSY_S = 30
# Whoever commits the page that fills the log waits until it is written back: with the default of 1,000 pages that is
# one commit in sixty. The log may grow beyond it while somebody reads, and is cut back afterwards.
_SQLITE_CHECKPOINT_PAGES = 10_000
_SQLITE_WAL_BYTES = 128 * 2**20
_SQLITE_NOW = text("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
_POSTGRESQL_NOW = text("SELECT clock_timestamp()")


def engine(url: str, *, read_only: bool = False) -> Engine:
    """An engine whose transactions are what they say.

    SQLite: a writer takes the write lock when it begins, so that no transaction fails half-way for want of it; a reader
    (*read_only*) sees one snapshot and never waits. ``postgresql://`` means psycopg 3.
    """
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, pool_size=5, max_overflow=10)
    if parsed.database:
        _make_private(Path(parsed.database))
    made = create_engine(parsed, connect_args={"timeout": _SQLITE_BUSY_S, "check_same_thread": False})

    @event.listens_for(made, "connect")
    def _connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
        connection.isolation_level = None  # we begin transactions ourselves
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_SQLITE_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_SQLITE_WAL_BYTES}")
        connection.execute("PRAGMA foreign_keys = ON")
        if read_only:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(made, "begin")
    def _begin(connection: Any) -> None:  # noqa: ANN401
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return made


@contextmanager
def transaction(database: Engine) -> Iterator[Session]:
    """One transaction: committed at the end, rolled back on any exception.

    Raise UnavailableError if the database cannot be reached.
    """
    try:
        with Session(database, expire_on_commit=False) as session, session.begin():
            yield session
    except OperationalError as err:
        raise UnavailableError(f"the database does not answer: {_first_line(err)}") from err


def insert(session: Session, table: Any) -> sqlite.Insert | postgresql.Insert:  # noqa: ANN401 - a table or a model
    """An INSERT that knows ``on_conflict_do_update`` and ``on_conflict_do_nothing``, for the database of *session*."""
    return (sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert)(table)


def now(session: Session) -> datetime:
    """The database's clock: the only one that decides about leases."""
    if session.get_bind().dialect.name == "sqlite":
        moment = session.execute(_SQLITE_NOW).scalar_one()
        return datetime.fromisoformat(moment).replace(tzinfo=UTC)
    moment = session.execute(_POSTGRESQL_NOW).scalar_one()
    assert isinstance(moment, datetime)  # noqa: S101 - the driver's promise, stated for mypy
    return moment.astimezone(UTC)


def _make_private(file: Path) -> None:
    """SQLite would let everybody read a file that it makes; it takes an empty one for a database without tables."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        with suppress(OSError):  # of a disk that takes none, or a folder of others, SQLite tells itself
            file.touch(mode=0o640)


def _first_line(err: DBAPIError) -> str:
    return str(err.orig).splitlines()[0] if err.orig else str(err)
