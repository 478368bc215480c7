"""Choosing, scoring and importing ask the database by its indexes, however many builds there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from master import ranking, rescore
from master.dispatch import Dispatcher
from schema.db import scoring
from schema.db.session import now, transaction
from schema.jobs import Limits
from schema.score import Weights
from tests import rows

_LARGE = ("builds", "attempts", "projects", "upstream_files", "wheels", "requests", "dirty_pages")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_large_table_is_scanned_or_sorted(database: Engine, tmp_path: Path) -> None:
    ranked = tmp_path / "top.csv"
    ranked.write_text("demo,7\n")
    with transaction(database) as session:
        rows.node(session)
        build = rows.build(session)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(database, "before_cursor_execute")
    def _note(_c: object, _cursor: object, statement: str, parameters: Any, _x: object, _many: object) -> None:
        if statement.startswith(("SELECT", "UPDATE builds SET state", "INSERT INTO attempts")):
            asked.append((statement, parameters))

    with transaction(database) as session:
        scoring.explain(session, build, now=now(session))
        scoring.rescore_project(session, build.project_id)
    rescore.Walk(Weights(person=1)).turn(database)
    ranking.take(database, ranked)
    with transaction(database) as session:
        jobs = Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90, silent_after_s=15).dispatch(session)
    with database.connect() as connection:
        plans = {
            str(row[3]): statement
            for statement, values in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        }

    assert len(jobs) == 1
    assert len(asked) > 15
    scans = [plan for plan in plans if plan.startswith("SCAN") and plan.split()[1] in _LARGE]
    assert scans == [], [plans[scan] for scan in scans]
