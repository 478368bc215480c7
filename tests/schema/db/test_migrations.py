from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from schema.db import migrate
from schema.db.models import Base

_PROJECT = """
    INSERT INTO projects (id, name, title, status, status_reason, etag, last_modified, error, check_at, errors)
    VALUES (1, 'demo', 'demo', 'active', '', '', '', '', '2026-01-01 00:00:00', 0)
"""
_PUBLISHED = """
    INSERT INTO builds (id, project_id, version, platform, build_number, policy, state, reason, fence, pardoned_fence,
                        created_at, changed_at)
    VALUES (1, 1, '1.0', 'p', 0, 'missing', 'published', '', 0, 0, '2026-01-01 00:00:00', '2026-01-01 00:00:00')
"""
_WHEEL = """
    INSERT INTO wheels (filename, project_id, build_id, version, tags, sha256, size_bytes, metadata_sha256,
                        provenance_sha256, published_at, removed_because, repeated_note, removed_at)
    VALUES (:filename, 1, 1, '1.0', '', '', :size, '', '', '2026-01-01 00:00:00', '', '', {removed})
"""
_QUEUED = """
    INSERT INTO builds (project_id, version, platform, build_number, policy, state, reason, priority, fence,
                        pardoned_fence, not_before, created_at, changed_at)
    VALUES (1, '1.0', 'p', :number, 'missing', 'queued', '', 0, 0, 0, CAST(:not_before AS {moment}),
            '2026-01-01 00:00:00', '2026-01-01 00:00:00')
"""


def test_the_migrations_make_the_tables_that_the_models_describe(database: Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, Base.metadata) == []


def test_migrating_twice_changes_nothing(database: Engine) -> None:
    migrate.upgrade(database)

    assert migrate.is_current(database)


def test_a_database_with_builds_is_migrated_and_what_paused_in_the_queue_waits(database: Engine) -> None:
    _at_first(database)
    moment = "TEXT" if database.dialect.name == "sqlite" else "TIMESTAMPTZ"
    with database.begin() as connection:
        connection.execute(text(_PROJECT))
        for number, not_before in ((1, "2026-01-01 00:00:00"), (2, None)):
            connection.execute(text(_QUEUED.format(moment=moment)), {"number": number, "not_before": not_before})

    migrate.upgrade(database)

    with database.connect() as connection:
        assert list(connection.execute(text("SELECT state FROM builds ORDER BY build_number")).scalars()) == [
            "waiting",
            "queued",
        ]
        if database.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_farm_of_the_first_tables_keeps_who_asked_for_its_builds(database: Engine) -> None:
    _at_first(database)
    moment = "TEXT" if database.dialect.name == "sqlite" else "TIMESTAMPTZ"
    with database.begin() as connection:
        connection.execute(text(_PROJECT))
        for number, priority in enumerate((0, 10, 20)):
            connection.execute(text(_QUEUED.format(moment=moment)), {"number": number, "not_before": None})
            connection.execute(
                text("UPDATE builds SET priority = :p WHERE build_number = :n"), {"p": priority, "n": number}
            )

    migrate.upgrade(database)

    with database.connect() as connection:
        found = connection.execute(text("SELECT origin, size FROM builds ORDER BY build_number")).all()
        assert found == [("person", 1), ("list", 1), ("dependency", 1)]


def test_the_wheels_of_a_farm_that_did_not_count_them_are_counted(database: Engine) -> None:
    _at_first(database)
    migrate.upgrade(database, to="0007")
    moment = "TEXT" if database.dialect.name == "sqlite" else "TIMESTAMPTZ"
    with database.begin() as connection:
        connection.execute(text(_PROJECT))
        connection.execute(text(_PUBLISHED))
        for number, removed_at in ((1, None), (2, None), (3, "2026-01-02 00:00:00")):
            wheel = {"filename": f"demo-1.0-{number}-py3-none-any.whl", "size": 10**number, "removed": removed_at}
            connection.execute(text(_WHEEL.format(removed=f"CAST(:removed AS {moment})")), wheel)

    migrate.upgrade(database)

    with database.connect() as connection:
        found = connection.execute(text("SELECT name, value FROM totals ORDER BY name")).all()
        assert found == [("wheel-bytes", 110), ("wheels", 2)]


def _at_first(database: Engine) -> None:
    """Empty the database and give it the tables of the first release."""
    if database.dialect.name == "sqlite":
        database.dispose()
        assert database.url.database is not None
        for suffix in ("", "-wal", "-shm"):
            Path(database.url.database + suffix).unlink(missing_ok=True)
    else:
        with database.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    migrate.upgrade(database, to="0001")
