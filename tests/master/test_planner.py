"""The planner's turns: marked projects first, the back-fill where none waits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, event, select

from master import backfill, marks, requests, undecided
from master.backfill import Backfill
from master.planner import Planner
from schema.db.models import Build, Mark, Project, Request
from schema.db.session import engine, now, transaction
from schema.platforms import Platform
from schema.sections import FarmSection
from schema.settings import Settings
from tests import rows

HERE = Platform.parse(rows.PLATFORM)
THERE = Platform.parse("debian13-x86_64-cp313")
SETTINGS = Settings(farm=FarmSection(platforms=(HERE,)))
WIDER = replace(SETTINGS, farm=FarmSection(platforms=(HERE, THERE)))


@contextmanager
def planning(database: Engine, settings: Settings = SETTINGS) -> Iterator[Planner]:
    """A planner as a master that begins makes it."""
    snapshot = engine(database.url.render_as_string(hide_password=False), read_only=True)
    try:
        yield Planner(database, snapshot=snapshot, settings=settings)
    finally:
        snapshot.dispose()


# Of values in the statement itself, and of the two rows that say whether a project is compiled.
_OF_A_ROW_OR_TWO = {"SCAN CONSTANT ROW", "SCAN anon_1"}


def wanted(database: Engine, *names: str) -> None:
    """Projects with a source distribution that people ask for, read and not yet decided about."""
    with transaction(database) as session:
        for name in names:
            (request,) = requests.add(session, Requirement(name))
            rows.sdist(session, request.project)
            request.project.checked_at = now(session)


def built(database: Engine) -> list[tuple[str, str]]:
    """Project and distribution of every build."""
    with transaction(database) as session:
        found = session.scalars(select(Build).order_by(Build.id))
        return [(build.project.name, build.platform.partition("-")[0]) for build in found]


def walk(database: Engine) -> Mark:
    with transaction(database) as session:
        return session.get_one(Mark, backfill.MARK)


def test_what_is_marked_is_decided_about_once(database: Engine) -> None:
    wanted(database, "a", "b")

    with planning(database) as planner:
        tried = planner.turn()

        assert built(database) == [("a", "debian12"), ("b", "debian12")]
        assert tried >= 2
        assert planner.turn() == 0


def test_a_project_that_cannot_be_decided_about_rests_and_keeps_its_mark(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    wanted(database, "bad", "good")
    with transaction(database) as session:
        bad = session.scalars(select(Project).where(Project.name == "bad")).one()
        session.query(Request).filter_by(project_id=bad.id).one().specifier = "no range"

    with planning(database) as planner, caplog.at_level(logging.ERROR):
        planner.turn()
        planner.turn()

    assert built(database) == [("good", "debian12")]
    assert [record.getMessage() for record in caplog.records] == [
        f"project {bad.id} cannot be decided about; again in 5 s"
    ]
    with transaction(database) as session:
        assert undecided.waiting(session) == [bad.id]
    with transaction(database) as session:
        session.query(Request).filter_by(project_id=bad.id).one().specifier = ""
    with planning(database) as restarted:
        restarted.turn()
    assert built(database) == [("good", "debian12"), ("bad", "debian12")]


def test_a_new_platform_is_planned_for_in_the_background_and_a_restart_alone_plans_nothing(database: Engine) -> None:
    wanted(database, "a", "b")
    with planning(database) as planner:
        planner.turn()
    with planning(database) as restarted:
        assert restarted.turn() == 0

    with planning(database, WIDER) as wider:
        assert wider.turn() == 2

    assert built(database)[2:] == [("a", "debian13"), ("b", "debian13")]
    mark = walk(database)
    assert (mark.done, mark.total, mark.finished_at is not None) == (2, 2, True)
    assert mark.note == "for debian12-x86_64-cp311, debian13-x86_64-cp313"


def test_the_walk_goes_on_where_a_restart_interrupted_it(database: Engine) -> None:
    with transaction(database) as session:
        for number in range(60):
            rows.project(session, f"p{number}")
    first = Backfill(SETTINGS)
    first.turn(database)
    with transaction(database) as session:
        (halfway,) = session.scalars(select(Mark.done).where(Mark.name == backfill.MARK))

    again = Backfill(SETTINGS)
    counted = [again.turn(database), again.turn(database), again.turn(database)]

    assert (halfway, counted) == (50, [10, 0, 0])
    assert walk(database).finished_at is not None


def test_a_change_of_the_settings_in_the_middle_begins_anew(database: Engine) -> None:
    with transaction(database) as session:
        for number in range(60):
            rows.project(session, f"p{number}")
    Backfill(SETTINGS).turn(database)

    Backfill(WIDER).turn(database)

    mark = walk(database)
    assert (mark.done, mark.total, mark.finished_at) == (50, 60, None)


def test_news_are_decided_about_before_the_back_fill_goes_on(database: Engine) -> None:
    wanted(database, *(f"p{number:02}" for number in range(3)))
    with planning(database) as planner:
        planner.turn()
    wanted(database, "zz-new")

    with planning(database, WIDER) as wider:
        wider.turn()

    assert built(database)[3:5] == [("zz-new", "debian12"), ("zz-new", "debian13")]


def test_a_rule_that_decides_what_is_built_has_everything_planned_again_and_another_does_not(tmp_path: Path) -> None:
    settings = replace(SETTINGS, farm=FarmSection(platforms=(HERE,), recipes=(tmp_path,)))
    rule = '[[rule]]\nid = "one"\nwhy = "it needs a board"\n'
    before = backfill.fingerprint(settings)

    (tmp_path / "demo.toml").write_text(f"{rule}jobs = 1\n")
    assert backfill.fingerprint(settings) == before

    (tmp_path / "demo.toml").write_text(f"{rule}do_not_build = true\n")
    assert backfill.fingerprint(settings) != before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_turn_of_the_back_fill_reads_a_few_rows_by_their_number(database: Engine) -> None:
    with transaction(database) as session:
        rows.project(session)
        mark = marks.at(session, backfill.MARK)
        mark.etag, mark.started_at = backfill.fingerprint(SETTINGS), now(session) - timedelta(hours=1)
    asked: list[tuple[str, object]] = []
    event.listen(database, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))

    Backfill(SETTINGS).turn(database)
    reads = [item for item in asked if "FROM projects" in item[0]]

    with database.connect() as connection:
        plans = [
            row[3]
            for sql, values in reads
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)  # type: ignore[arg-type]
        ]
    assert plans == ["SEARCH projects USING INTEGER PRIMARY KEY (rowid>?)"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_deciding_about_a_project_reads_that_project_only(database: Engine) -> None:
    wanted(database, "a", "b")
    with planning(database) as planner:
        planner.turn()
    with transaction(database) as session:
        project = session.scalars(select(Project).where(Project.name == "a")).one()
        rows.sdist(session, project, "2.0")
        undecided.again(session, project.id)
    asked: list[tuple[str, object]] = []
    event.listen(database, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))

    with planning(database) as planner:
        planner.turn()
    statements = [item for item in asked if item[0].startswith(("SELECT", "UPDATE")) and " marks" not in item[0]]

    with database.connect() as connection:
        plans = [
            row[3]
            for sql, values in statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)  # type: ignore[arg-type]
        ]
    assert len(built(database)) == 3
    assert len(plans) > 5
    assert [plan for plan in plans if plan.startswith("SCAN") and plan not in _OF_A_ROW_OR_TWO] == [], plans
