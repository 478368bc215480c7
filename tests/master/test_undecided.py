"""The queue of projects to decide about: nothing that is marked is ever missed."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session

from master import requests, resolve, undecided
from schema.db.models import Project, Request
from schema.db.session import now, transaction
from schema.platforms import Platform
from schema.states import BuildPolicy
from tests import rows

HERE = Platform.parse(rows.PLATFORM)
_MANY = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
    INSERT INTO projects
        (name, title, status, status_reason, etag, last_modified, checked_at, check_at, errors, error, undecided)
    SELECT 'p' || i, 'p', 'active', '', '', '', '2026-01-01', '2026-01-01', 0, '', 0 FROM n"""


def read_project(session: Session, name: str = "demo") -> Project:
    project = rows.project(session, name)
    project.checked_at = now(session)
    session.flush()
    return project


def decide(database: Engine, project_id: int) -> bool:
    """What the planner does with one project."""
    with transaction(database) as session:
        if taken := undecided.take(session, project_id):
            resolve.resolve_project(session, project_id, platforms=[HERE], now=now(session))
    return taken


def test_a_mark_is_taken_once(database: Engine) -> None:
    with transaction(database) as session:
        project = read_project(session)
        other = read_project(session, "other")
        undecided.mark(session, project.id)

        assert undecided.waiting(session) == [project.id]
        assert [undecided.take(session, item.id) for item in (project, project, other)] == [True, False, False]
        assert undecided.waiting(session) == []


def test_a_project_whose_page_was_never_read_does_not_wait_here(database: Engine) -> None:
    with transaction(database) as session:
        undecided.mark(session, rows.project(session).id)

        assert undecided.waiting(session) == []


def test_they_are_given_in_the_order_of_their_numbers_from_anywhere_on(database: Engine) -> None:
    with transaction(database) as session:
        ids = [read_project(session, f"p{number}").id for number in range(5)]
        undecided.mark(session, *reversed(ids))

        assert undecided.waiting(session, after=ids[0], without=[ids[2]], limit=2) == [ids[1], ids[3]]


def test_again_is_for_every_request_of_the_project_and_for_no_other(database: Engine) -> None:
    with transaction(database) as session:
        for name in ("demo", "other"):
            for wanted in (name, f"{name}>=1"):
                (request,) = requests.add(session, Requirement(wanted))
                request.resolved_at = request.project.checked_at = now(session)
            session.flush()
            undecided.take(session, request.project_id)
        demo = session.scalars(select(Project.id).where(Project.name == "demo")).one()

        undecided.again(session, demo)

        assert undecided.waiting(session) == [demo]
        open_ = session.scalars(select(Request.project_id).where(Request.resolved_at.is_(None))).all()
        assert open_ == [demo, demo]


def test_marking_nothing_does_nothing(database: Engine) -> None:
    with transaction(database) as session:
        undecided.mark(session)
        undecided.again(session)


def test_a_mark_that_is_not_committed_yet_is_not_lost_when_the_one_before_is_taken(database: Engine) -> None:
    """The race: a request comes in while an older mark of its project is being cleared."""
    with transaction(database) as session:
        requests.add(session, Requirement("demo"))
        project = session.scalars(select(Project)).one()
        project.checked_at, project_id = now(session), project.id
    added, taken = threading.Event(), threading.Event()

    def ask() -> None:
        with transaction(database) as session:
            requests.add(session, Requirement("demo"), because="another")
            added.set()
            taken.wait(0.2)  # on PostgreSQL the planner waits for this transaction, on SQLite for its lock

    asking = threading.Thread(target=ask)
    asking.start()
    added.wait(10)
    while decide(database, project_id):
        taken.set()
    asking.join()

    while decide(database, project_id):
        pass
    with transaction(database) as session:
        assert session.scalars(select(Request).where(Request.resolved_at.is_(None))).all() == []
        assert session.scalars(select(Request.because).order_by(Request.id)).all() == ["", "another"]


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writers=st.lists(
        st.lists(st.sampled_from(["ask", "want more", "again"]), min_size=1, max_size=4), min_size=1, max_size=3
    )
)
def test_whatever_others_do_meanwhile_every_request_is_resolved_in_the_end(
    database: Engine, writers: list[list[str]]
) -> None:
    with transaction(database) as session:
        session.query(Request).delete()
        project = session.scalar(select(Project)) or read_project(session)
        project_id = project.id
    ended = threading.Event()

    def write(number: int, steps: list[str]) -> None:
        for index, step in enumerate(steps):
            with transaction(database) as session:
                if step == "again":
                    undecided.again(session, project_id)
                else:
                    because = "the same" if step == "want more" else f"{number}.{index}"
                    wish = Requirement(f"demo[e{number}-{index}]")
                    requests.add(session, wish, origin="list", because=because, policy=BuildPolicy.MISSING)

    def plan() -> None:
        while not ended.is_set():
            decide(database, project_id)

    threads = [threading.Thread(target=write, args=item) for item in enumerate(writers)]
    planner = threading.Thread(target=plan)
    for thread in (planner, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    planner.join()
    while decide(database, project_id):
        pass

    with transaction(database) as session:
        assert session.scalars(select(Request).where(Request.resolved_at.is_(None))).all() == []
        shared = session.scalar(select(Request.extras).where(Request.because == "the same")) or ""
        wished = {f"e{n}-{i}" for n, steps in enumerate(writers) for i, step in enumerate(steps) if step == "want more"}
        assert set(shared.split(",")) - {""} == wished


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_waits_is_found_by_its_own_index_however_many_projects_there_are(database: Engine) -> None:
    with transaction(database) as session:
        session.execute(text(_MANY))
        session.execute(text("ANALYZE"))
    asked: list[tuple[str, Any]] = []
    event.listen(database, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))

    with transaction(database) as session:
        undecided.waiting(session, after=7, without=[9])
        undecided.take(session, 1)
        undecided.again(session, 1, 2)

    with database.connect() as connection:
        plans = [
            row[3]
            for sql, values in asked
            if sql.startswith(("SELECT", "UPDATE"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    assert plans[0].startswith("SEARCH projects USING INDEX ix_projects_undecided")
    assert [plan for plan in plans if plan.startswith("SCAN")] == [], plans
