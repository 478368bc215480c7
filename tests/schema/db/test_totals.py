"""What Prometheus counts is kept as it happens, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from schema.db import totals
from schema.db.session import now, transaction
from schema.db.totals import BOUNDS_S, Durations
from schema.states import AttemptOutcome
from tests import entries
from tests.entries import ARM, HERE


def test_attempts_are_counted_by_what_came_of_them_and_timed_where_that_tells_something(database: Engine) -> None:
    with transaction(database) as session:
        totals.note(session, HERE, outcome=AttemptOutcome.BUILT, what="built", seconds=10.0)
        totals.note(session, HERE, outcome=AttemptOutcome.BUILT, what="built", seconds=45.25)
        totals.note(session, HERE, outcome=AttemptOutcome.FAILED, what="header", seconds=1e9)
        totals.note(session, ARM, outcome=AttemptOutcome.LOST, what="lost", seconds=5.0)

    with transaction(database) as session:
        found = totals.read(session)

    assert found.ended == {(HERE, "built"): 2, (HERE, "header"): 1, (ARM, "lost"): 1}
    assert found.durations == {
        (HERE, "built"): Durations(within=[1, 1, *[2] * (len(BOUNDS_S) - 1)], sum_s=55.25),
        (HERE, "failed"): Durations(within=[*[0] * len(BOUNDS_S), 1], sum_s=10.0 * BOUNDS_S[-1]),
    }


@pytest.mark.parametrize("seconds", [-5.0, float("-inf")])
def test_a_clock_that_runs_backwards_never_lowers_a_total(database: Engine, seconds: float) -> None:
    with transaction(database) as session:
        totals.note(session, HERE, outcome=AttemptOutcome.BUILT, what="built", seconds=seconds)

    with transaction(database) as session:
        durations = totals.read(session).durations[HERE, "built"]

    assert (durations.sum_s, durations.within[0]) == (0.0, 1)


def test_wheels_are_counted_as_they_come_leave_and_come_back(database: Engine) -> None:
    with transaction(database) as session:
        build = entries.build(session, entries.project(session))
        wheel = entries.wheel(session, build, "a-1-py3-none-any.whl", size_bytes=100)
        entries.wheel(session, build, "a-2-py3-none-any.whl", size_bytes=20)
        entries.wheel(session, build, "a-0-py3-none-any.whl", size_bytes=3, removed_at=now(session))
    assert _wheels(database) == (2, 120)

    with transaction(database) as session:
        session.add(wheel)
        wheel.removed_at = now(session)
    assert _wheels(database) == (1, 20)

    with transaction(database) as session:
        session.add(wheel)
        wheel.removed_at, wheel.repeated = None, True
    assert _wheels(database) == (2, 120)

    with transaction(database) as session:
        session.add(wheel)
        wheel.repeated = False
    assert _wheels(database) == (2, 120)


def test_a_hand_in_the_database_is_corrected_by_a_recount(database: Engine) -> None:
    with transaction(database) as session:
        build = entries.build(session, entries.project(session))
        entries.wheel(session, build, "a-1-py3-none-any.whl", size_bytes=100)
        entries.wheel(session, build, "a-2-py3-none-any.whl", size_bytes=20)
        entries.wheel(session, build, "a-0-py3-none-any.whl", size_bytes=3, removed_at=now(session))
    with transaction(database) as session:
        session.execute(text("DELETE FROM wheels WHERE size_bytes = 20"))

        assert totals.recount(session) == {"wheels": -1, "wheel-bytes": -20}

    with transaction(database) as session:
        assert totals.recount(session) == {}
    assert _wheels(database) == (1, 100)


def test_what_is_rolled_back_was_never_counted(database: Engine) -> None:
    with transaction(database) as session:
        build = entries.build(session, entries.project(session))
        savepoint = session.begin_nested()
        entries.wheel(session, build, "a-1-py3-none-any.whl")
        savepoint.rollback()
        entries.wheel(session, build, "a-2-py3-none-any.whl", size_bytes=20)

    assert _wheels(database) == (1, 20)


def _wheels(database: Engine) -> tuple[int, int]:
    with transaction(database) as session:
        found = totals.read(session)
    return found.wheels, found.wheel_bytes
