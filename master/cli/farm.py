"""The farm that a command is about: its database, opened for reading or for a change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from schema.db import migrate
from schema.db.session import engine, transaction
from schema.errors import UnavailableError
from schema.settings import Settings


@contextmanager
def reading(settings: Settings) -> Iterator[Session]:
    """A transaction that sees one state of the database and changes nothing."""
    with _opened(settings, read_only=True) as opened, transaction(opened) as session:
        yield session


@contextmanager
def writing(settings: Settings, *, keep: bool = True) -> Iterator[Session]:
    """A transaction that is kept if nothing is raised; without *keep* it only shows what would happen."""
    with database(settings) as opened, transaction(opened) as session:
        yield session
        if not keep:
            session.rollback()


@contextmanager
def database(settings: Settings, *, read_only: bool = False) -> Iterator[Engine]:
    """The database itself, for what makes its own transactions."""
    with _opened(settings, read_only=read_only) as opened:
        yield opened


@contextmanager
def _opened(settings: Settings, *, read_only: bool) -> Iterator[Engine]:
    """Raise UnavailableError where no farm has ever run with these settings: a typing error must not found one."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise UnavailableError(
            f"there is no farm in {settings.farm.home}", advice="wheelfarm run starts one; is this the right folder?"
        )
    opened = engine(settings.database_url, read_only=read_only)
    try:
        _refuse_other_schema(opened)
        yield opened
    finally:
        opened.dispose()


def _refuse_other_schema(opened: Engine) -> None:
    try:
        current = migrate.is_current(opened)
    except OperationalError as err:
        raise UnavailableError(f"the database does not answer: {str(err.orig).splitlines()[0]}") from err
    if not current:
        raise UnavailableError(
            "the database is not of this version of wheelfarm", advice="start the master once: it migrates the database"
        )
