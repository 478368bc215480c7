"""Rows that go in at once are those that a session would have written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, Table, event, func, select, text
from sqlalchemy.exc import IntegrityError

from schema.db import bulk
from schema.db.models import Project, UpstreamFile
from schema.db.session import transaction
from tests import rows

FILES: Table = UpstreamFile.__table__  # type: ignore[assignment]
NAMES = ("project_id", "seen_at", "filename", "version", "kind", "url", "size_bytes", "yanked", "uploaded_at")
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
IN_TOKYO = datetime(2026, 1, 5, 21, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))


@pytest.fixture
def project_id(database: Engine) -> int:
    with transaction(database) as session:
        return rows.project(session).id


def row(project_id: int, filename: str = "demo-1.0.tar.gz", **values: Any) -> tuple[object, ...]:
    given: dict[str, Any] = {
        "project_id": project_id,
        "seen_at": NOON,
        "filename": filename,
        "version": "1.0",
        "kind": "sdist",
        "url": "https://files.example/\t\\N 'x' \n",
        "size_bytes": 2**40,
        "yanked": None,
        "uploaded_at": IN_TOKYO,
        **values,
    }
    return tuple(given[name] for name in NAMES)


def test_values_of_each_type_come_back_as_a_session_reads_them(database: Engine, project_id: int) -> None:
    with transaction(database) as session:
        bulk.insert(session.connection(), FILES, NAMES, [row(project_id), row(project_id, "x", yanked="")])

    with transaction(database) as session:
        first, second = session.scalars(select(UpstreamFile).order_by(UpstreamFile.id))
        assert (first.url, first.size_bytes) == ("https://files.example/\t\\N 'x' \n", 2**40)
        assert (first.seen_at, first.uploaded_at, first.yanked) == (NOON, IN_TOKYO, None)
        assert (second.filename, second.yanked) == ("x", "")
        assert (first.sha256, first.gone_at, first.gone_told) == (None, None, False)  # the database's own defaults


def test_postgresql_plans_by_the_rows_that_are_there_once_it_was_told_to_look(database: Engine) -> None:
    with transaction(database) as session:
        for name in ("one", "two", "three"):
            rows.project(session, name)
        bulk.analyze(session, Project, UpstreamFile)
        if database.dialect.name == "postgresql":
            known = text("SELECT reltuples FROM pg_class WHERE oid = 'projects'::regclass")
            assert session.scalar(known) == 3


def test_a_row_that_is_there_already_fails_them_all(database: Engine, project_id: int) -> None:
    with pytest.raises(IntegrityError), transaction(database) as session:
        bulk.insert(session.connection(), FILES, NAMES, [row(project_id, name) for name in ("a", "b", "a")])

    with transaction(database) as session:
        assert session.scalar(select(func.count()).select_from(UpstreamFile)) == 0


def test_no_rows_are_no_statement(database: Engine) -> None:
    said: list[str] = []
    with transaction(database) as session:
        connection = session.connection()
        event.listen(database, "before_cursor_execute", lambda *told: said.append(str(told[2])))
        bulk.insert(connection, FILES, NAMES, iter(()))

    assert said == []
