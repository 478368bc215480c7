from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from schema.db import migrate
from schema.db.models import Base


def test_the_migrations_make_the_tables_that_the_models_describe(database: Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, Base.metadata) == []


def test_migrating_twice_changes_nothing(database: Engine) -> None:
    migrate.upgrade(database)

    assert migrate.is_current(database)
