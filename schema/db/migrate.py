"""Bring a database to the newest schema (Alembic)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from schema.errors import UnavailableError

_SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(database: Engine, to: str = "head") -> None:
    """Run every migration up to *to* that *database* has not seen; safe to repeat.

    Raise UnavailableError if the database cannot be reached.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    with _reaching(), database.connect() as connection, _rows_may_point_nowhere(connection):
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        connection.commit()


def upgrade_if_needed(database: Engine) -> bool:
    """Run the migrations that *database* lacks; whether it lacked any. Raise UnavailableError as ``upgrade`` does."""
    with _reaching():
        if is_current(database):
            return False
    upgrade(database)
    return True


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except OperationalError as err:
        raise UnavailableError(f"the database does not answer: {str(err.orig).splitlines()[0]}") from err


@contextmanager
def _rows_may_point_nowhere(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making it anew, and would not drop the old one while rows of others point at it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    pragma = connection.connection.cursor()  # the driver's own: within a transaction SQLite would ignore it
    pragma.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        connection.rollback()
        pragma.execute("PRAGMA foreign_keys = ON")
        pragma.close()


def is_current(database: Engine) -> bool:
    """Whether *database* has the newest schema."""
    newest = ScriptDirectory(str(_SCRIPTS)).get_current_head()
    with database.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == newest
