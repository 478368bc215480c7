from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, select, text

from schema.db import migrate
from schema.db.models import Base, Build
from schema.db.session import engine, transaction


def test_the_migrations_make_the_tables_that_the_models_describe(database: Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, Base.metadata) == []


def test_migrating_twice_changes_nothing(database: Engine) -> None:
    migrate.upgrade(database)

    assert migrate.is_current(database)


_PROJECT = """INSERT INTO projects
    (id, name, title, status, status_reason, etag, last_modified, check_at, errors, error)
    VALUES (1, 'demo', 'demo', 'active', '', '', '', '2026-01-01', 0, '')"""
_BUILD = """INSERT INTO builds
    (project_id, version, platform, build_number, policy, state, reason, priority, fence, pardoned_fence,
        created_at, changed_at)
    VALUES (1, :version, 'p', 0, 'missing', 'queued', '', :priority, 0, 0, '2026-01-01', '2026-01-01')"""


def test_a_farm_of_the_first_tables_keeps_its_rows_and_who_asked_for_its_builds(tmp_path: Path) -> None:
    database = engine(f"sqlite:///{tmp_path}/old.sqlite")
    migrate.upgrade(database, to="0001")
    with transaction(database) as session:
        session.execute(text(_PROJECT))
        for priority in (0, 10, 20):
            session.execute(text(_BUILD), {"version": f"1.{priority}", "priority": priority})

    migrate.upgrade(database)

    with transaction(database) as session:
        found = session.scalars(select(Build).order_by(Build.id)).all()
        assert [(build.origin, build.size) for build in found] == [("person", 1), ("list", 1), ("dependency", 1)]
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
    database.dispose()
