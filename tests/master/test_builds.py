from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, text, update

from master import builds, sweep
from master.ripen import ripen
from schema.db.models import Attempt, Build, DirtyPage
from schema.db.session import now, transaction
from schema.jobs import Lease
from schema.names import NodeName
from schema.states import AttemptOutcome, BuildState, FailureClass
from tests import rows

N1, N2 = NodeName("n1"), NodeName("n2")


def test_a_move_that_the_table_does_not_know_is_refused(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)

        with pytest.raises(ValueError, match="no move from queued to published"):
            builds.move(session, build, BuildState.PUBLISHED, reason="by magic")


def test_a_move_marks_the_page_and_keeps_the_reason(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)

        assert builds.move(session, build, BuildState.HELD, reason="an operator said so")

        assert (build.state, build.reason) == ("held", "an operator said so")
        assert session.get(DirtyPage, build.project_id) is not None


def test_a_move_from_a_state_that_is_past_changes_nothing(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        session.execute(
            update(Build).values(state=BuildState.HELD, reason="first").execution_options(synchronize_session=False)
        )

        assert not builds.move(session, build, BuildState.LEASED, reason="second", leased_to="n1")

        assert session.scalars(select(Build.reason)).one() == "first"


def test_each_lease_has_a_higher_fence_and_an_attempt_of_its_own(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)

        first = rows.lease(session, build, node=N1, lease_s=90)
        builds.give_back(session, build, why="the node went silent")
        second = rows.lease(session, build, node=N1, lease_s=90)

        assert (first, second) == (Lease(build_id=build.id, fence=1), Lease(build_id=build.id, fence=2))
        assert [attempt.outcome for attempt in session.scalars(select(Attempt).order_by(Attempt.fence))] == [
            AttemptOutcome.LOST,
            AttemptOutcome.RUNNING,
        ]


def test_a_message_of_an_older_fence_holds_nothing(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        old = rows.lease(session, build, node=N1, lease_s=90)
        builds.give_back(session, build, why="silent")
        rows.lease(session, build, node=N1, lease_s=90)

        assert old is not None
        assert builds.held_by(session, old, N1) is None


def test_a_heartbeat_extends_only_the_leases_of_its_own_node(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        lease = rows.lease(session, build, node=N1, lease_s=1)
        assert lease is not None
        until = build.lease_until

        builds.extend(session, {lease}, node=N2, lease_s=500)
        session.refresh(build)
        assert build.lease_until == until

        builds.extend(session, {lease}, node=N1, lease_s=500)
        session.refresh(build)
        assert build.lease_until is not None
        assert build.lease_until > now(session) + timedelta(seconds=400)


def test_a_build_that_loses_two_different_nodes_is_poisoned(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        for node in (N1, N1, N2):
            assert build.state == BuildState.QUEUED
            rows.lease(session, build, node=node, lease_s=90)
            builds.give_back(session, build, why="silent")

        assert build.state == BuildState.POISONED
        assert f"wheelfarm retry {build.id}" in build.reason


def test_a_build_that_one_node_keeps_losing_is_poisoned_in_the_end(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        losses = 0
        while build.state == BuildState.QUEUED:
            rows.lease(session, build, node=N1, lease_s=90)
            builds.give_back(session, build, why="silent")
            losses += 1

        assert (build.state, losses) == (BuildState.POISONED, 10)


def test_a_lost_message_is_nobodys_fault(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        for node in (N1, N2) * 10:
            rows.lease(session, build, node=node, lease_s=90)
            builds.give_back(session, build, why="the message was lost", blame=False)

        assert build.state == BuildState.QUEUED


def _fail(database: Engine, build_id: int, failure_class: FailureClass, node: NodeName = N1) -> None:
    with transaction(database) as session:
        build = session.get_one(Build, build_id)
        lease = rows.lease(session, build, node=node, lease_s=90)
        assert lease is not None
        attempt = builds.attempt_of(session, lease)
        builds.end_attempt(
            session,
            attempt,
            at=now(session),
            outcome=AttemptOutcome.FAILED,
            failure_class=failure_class,
            message="oh no",
        )
        session.flush()
        builds.fail(session, build, failure_class=failure_class, message="oh no", retry_s=60)


def test_a_build_failure_is_tried_once_more_on_another_node(database: Engine) -> None:
    with transaction(database) as session:
        build_id = rows.build(session).id
        rows.node(session, "n1")
        rows.node(session, "n2")

    _fail(database, build_id, FailureClass.BUILD, N1)
    with transaction(database) as session:
        assert session.get_one(Build, build_id).state == BuildState.QUEUED

    _fail(database, build_id, FailureClass.BUILD, N2)
    with transaction(database) as session:
        build = session.get_one(Build, build_id)
        assert (build.state, build.reason) == (BuildState.FAILED, "build: oh no")


def test_a_build_failure_stands_at_once_where_there_is_no_other_node(database: Engine) -> None:
    with transaction(database) as session:
        build_id = rows.build(session).id
        rows.node(session, "n1")

    _fail(database, build_id, FailureClass.BUILD)

    with transaction(database) as session:
        assert session.get_one(Build, build_id).state == BuildState.FAILED


def test_a_nodes_own_fault_is_tried_five_times_again_with_growing_pauses(database: Engine) -> None:
    with transaction(database) as session:
        build_id = rows.build(session).id
        rows.node(session, "n1")
    pauses = []

    for _ in range(6):
        _fail(database, build_id, FailureClass.NODE)
        with transaction(database) as session:
            build = session.get_one(Build, build_id)
            if build.state == BuildState.WAITING:
                assert build.not_before is not None
                assert build.reason == "again after node: oh no"
                pauses.append(round((build.not_before - now(session)).total_seconds() / 60))
                build.not_before = now(session)
                session.flush()
                assert ripen(session) == 1

    assert pauses == [1, 4, 16, 64, 120]
    with transaction(database) as session:
        assert session.get_one(Build, build_id).state == BuildState.FAILED


def test_a_build_that_ran_out_of_memory_is_tried_once_on_a_bigger_node(database: Engine) -> None:
    with transaction(database) as session:
        build_id = rows.build(session, size=1).id
        rows.node(session, "n1", memory_bytes=8)
        rows.node(session, "n2", memory_bytes=16)

    _fail(database, build_id, FailureClass.MEMORY, N1)
    with transaction(database) as session:
        build = session.get_one(Build, build_id)
        assert (build.state, build.size) == (BuildState.QUEUED, 2)

    _fail(database, build_id, FailureClass.MEMORY, N2)
    with transaction(database) as session:
        build = session.get_one(Build, build_id)
        assert (build.state, build.reason, build.size) == (BuildState.FAILED, "memory: oh no", 2)


@pytest.mark.parametrize(("other_bytes", "again"), [(4, False), (8, False), (16, True), (0, True)])
def test_running_out_of_memory_stands_where_no_node_has_more(
    database: Engine, other_bytes: int, *, again: bool
) -> None:
    with transaction(database) as session:
        build_id = rows.build(session).id
        rows.node(session, "n1", memory_bytes=8)
        rows.node(session, "n2", memory_bytes=other_bytes)

    _fail(database, build_id, FailureClass.MEMORY)

    with transaction(database) as session:
        expected = BuildState.QUEUED if again else BuildState.FAILED
        assert session.get_one(Build, build_id).state == expected


def test_a_timeout_is_tried_once_more_on_the_same_node(database: Engine) -> None:
    with transaction(database) as session:
        build_id = rows.build(session).id
        rows.node(session, "n1")
    states = []

    for _ in range(2):
        _fail(database, build_id, FailureClass.TIMEOUT)
        with transaction(database) as session:
            states.append(session.get_one(Build, build_id).state)

    assert states == [BuildState.QUEUED, BuildState.FAILED]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_somebody_decides_about_is_left_alone_by_the_sweep_and_waited_for_by_others(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session)
        lease = rows.lease(session, rows.build(session), node=N1, lease_s=-1)
    assert lease is not None
    told: list[Build | None] = []

    def ask() -> None:
        with transaction(database) as session:
            told.append(builds.held_by(session, lease, N1, for_update=True))

    with transaction(database) as session:
        build = builds.held_by(session, lease, N1, for_update=True)
        assert build is not None
        with transaction(database) as other:
            assert sweep.expired(other) == 0
        asking = threading.Thread(target=ask)
        asking.start()
        _wait_until_somebody_waits(database)
        builds.give_back(session, build, why="silent")
    asking.join()

    assert told == [None]


def _wait_until_somebody_waits(database: Engine) -> None:
    with database.connect() as connection:
        while not connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar():
            connection.rollback()
