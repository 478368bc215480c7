"""Bring a database to the newest schema (Alembic)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from schema.errors import UnavailableError

_SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(database: Engine) -> None:
    """Run every migration that *database* has not seen; safe to repeat.

    Raise UnavailableError if the database cannot be reached.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    try:
        with database.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except OperationalError as err:
        raise UnavailableError(f"the database does not answer: {str(err.orig).splitlines()[0]}") from err


def is_current(database: Engine) -> bool:
    """Whether *database* has the newest schema."""
    newest = ScriptDirectory(str(_SCRIPTS)).get_current_head()
    with database.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == newest
