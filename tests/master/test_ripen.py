from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, text

from master import ripen
from master.dispatch import next_build
from schema.db.models import Build
from schema.db.session import now, transaction
from schema.states import BuildState
from tests import rows

_MANY = """
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 100000)
    INSERT INTO builds (project_id, version, platform, build_number, policy, state, reason, fence, pardoned_fence,
                        created_at, changed_at, not_before, waits_for)
    SELECT 1, n, 'p', 0, 'missing', CASE WHEN n % 4 THEN 'waiting' ELSE 'failed' END, '', 0, 0,
           '2020-01-01 00:00:00', '2020-01-01 00:00:00',
           CASE WHEN n % 10 = 1 THEN '2920-01-01 00:00:00.000000' END, CASE WHEN n % 10 > 1 THEN 1 END
    FROM number
"""


def test_a_build_queues_when_its_pause_is_over(database: Engine) -> None:
    with transaction(database) as session:
        past = now(session) - timedelta(seconds=1)
        build = rows.build(session, state=BuildState.WAITING, not_before=past, reason="the release is young")

        assert next_build(session, "n1", [rows.PLATFORM]) is None
        assert ripen.ripen(session) == 1

        assert (build.state, build.not_before) == (BuildState.QUEUED, None)
        assert build.reason == "its pause is over (the release is young)"
        assert next_build(session, "n1", [rows.PLATFORM]) is build


def test_a_build_that_pauses_or_waits_for_another_stays(database: Engine) -> None:
    with transaction(database) as session:
        moment = now(session)
        needed = rows.project(session, "needed")
        young = rows.build(session, state=BuildState.WAITING, not_before=moment + timedelta(hours=1))
        needs = rows.build(
            session, rows.project(session, "b"), state=BuildState.WAITING, not_before=moment, waits_for=needed.id
        )
        undecided = rows.build(session, rows.project(session, "c"), state=BuildState.WAITING)

        assert ripen.ripen(session) == 0

        assert {build.state for build in (young, needs, undecided)} == {BuildState.WAITING}


def test_the_longest_ripe_come_first_some_at_once(database: Engine) -> None:
    with transaction(database) as session:
        moment = now(session)
        for hours in (1, 3, 2):
            rows.build(
                session,
                rows.project(session, f"h{hours}"),
                state=BuildState.WAITING,
                not_before=moment - timedelta(hours=hours),
            )

        assert ripen.ripen(session, limit=2) == 2

        left = session.query(Build).filter_by(state=BuildState.WAITING).one()
        assert left.project.name == "h1"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_only_the_index_of_what_pauses_is_read_however_many_wait(database: Engine) -> None:
    with transaction(database) as session:
        rows.project(session)
        session.execute(text(_MANY))
        session.execute(text("ANALYZE"))
    asked: list[tuple[str, object]] = []
    event.listen(database, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))

    with transaction(database) as session:
        assert ripen.ripen(session) == 0

    sql, values = next(item for item in asked if "FROM builds" in item[0])
    with database.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]  # type: ignore[arg-type]
    assert plan == ["SEARCH builds USING INDEX ix_builds_ripe (not_before<?)"]
