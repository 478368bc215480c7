"""Housekeeping asks the database for little, however many wheels and attempts there are."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, event

from master.keep import named, old, watchdog
from schema.db.session import transaction
from schema.names import Sha256
from schema.sections import AlarmsSection, KeepSection
from tests import rows

_LARGE = ("wheels", "builds", "attempts", "projects", "upstream_files")


@pytest.fixture
def statements(database: Engine) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    @event.listens_for(database, "before_cursor_execute")
    def _note(_c: object, _cursor: object, statement: str, parameters: Any, _x: object, _many: object) -> None:
        found.append((statement, parameters))

    return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_large_table_is_scanned(database: Engine, statements: list[tuple[str, Any]]) -> None:
    with transaction(database) as session:
        wheel = rows.wheel(session, rows.build(session))
        statements.clear()
        named.below(session, "ab")
        named.wheels(session, [Sha256(wheel.sha256)])
        for walk in old.WALKS:
            old.logs(session, walk, KeepSection())
        watchdog.look(session, AlarmsSection())

    asked = [(sql, values) for sql, values in statements if sql.startswith("SELECT")]
    with database.connect() as connection:
        plans = [
            row[3] for sql, values in asked for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    assert len(asked) > 10
    scans = [plan for plan in plans if plan.startswith("SCAN") and any(name in plan for name in _LARGE)]
    assert scans == [plan for plan in scans if plan == "SCAN attempts"], plans  # the last thousand, by their number
