from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import Engine, select, text, update

from master import hear, ripen, steer
from master.which import Which
from schema.db import audit
from schema.db.models import Attempt, AuditEntry, Build
from schema.db.session import now, transaction
from schema.errors import UsageError
from schema.jobs import Lease
from schema.names import NodeName
from schema.platforms import Platform
from schema.states import AttemptOutcome, BuildState, FailureClass
from tests import rows

ADA = "ada@farm"
N1 = NodeName("n1")
DEMO = Which(one=(NormalizedName("demo"), None))

hold = partial(steer.hold, who=ADA)
release = partial(steer.release, who=ADA)
cancel = partial(steer.cancel, who=ADA)
boost = partial(steer.boost, who=ADA)
retry = partial(steer.retry, who=ADA)


def one(build: Build) -> Which:
    return Which(one=build.id)


def test_a_held_build_is_not_given_out_until_it_is_released(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)

        hold(session, one(build), reason="it needs a look")
        held = build.reason
        assert (build.state, held) == (BuildState.HELD, f"held by {ADA}: it needs a look")

        release(session, one(build))
        assert (build.state, build.reason) == (BuildState.QUEUED, f"released by {ADA}")
        session.flush()
        trail = audit.entries(session, limit=9)
        assert [(entry.action, entry.subject, audit.change(entry)) for entry in trail] == [
            ("release", f"build {build.id}", f"state: held → queued; reason: {held} → released by {ADA}"),
            ("hold", f"build {build.id}", f"state: queued → held; reason: none → {held}"),
        ]


def test_a_pause_goes_on_after_a_release_unless_it_is_to_be_now(database: Engine) -> None:
    with transaction(database) as session:
        later = now(session) + timedelta(hours=1)
        build = rows.build(session, state=BuildState.WAITING, not_before=later, reason="the release is young")

        hold(session, one(build))
        assert ripen.ripen(session) == 0
        release(session, one(build))
        assert (build.state, build.not_before) == (BuildState.WAITING, later)

        with pytest.raises(UsageError, match="--now"):
            release(session, one(build))
        release(session, one(build), at_once=True)
        assert (build.state, build.not_before) == (BuildState.QUEUED, None)


def test_what_waits_for_another_build_waits_on_whatever_a_person_says(database: Engine) -> None:
    with transaction(database) as session:
        needed = rows.build(session, rows.project(session, "needed"))
        build = rows.build(
            session, state=BuildState.WAITING, waits_for=needed.project_id, needs=["needed"], reason="waits for needed"
        )

        with pytest.raises(UsageError, match="nothing to release"):
            release(session, one(build), at_once=True)
        hold(session, one(build))
        waits_for = [build.waits_for]
        release(session, one(build))
        waits_for.append(build.waits_for)

        assert (build.state, waits_for) == (BuildState.WAITING, [None, needed.project_id])


def test_a_running_build_is_not_held_but_cancelled(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session)
        build = rows.build(session)
        lease = rows.lease(session, build, node=N1, lease_s=90)
        assert lease is not None

        with pytest.raises(UsageError, match=rf"is leased \(wheelfarm cancel {build.id}"):
            hold(session, one(build))
        cancel(session, one(build), reason="wrong sdist")

        assert (build.state, build.reason) == (BuildState.HELD, f"cancelled by {ADA}: wrong sdist")
        attempt = session.scalars(select(Attempt)).one()
        assert (attempt.outcome, attempt.failure_class) == (AttemptOutcome.CANCELLED, FailureClass.CANCELLED)
        heard = hear.heartbeat(session, rows.heartbeat(running=(lease,)), lease_s=90, lost_message_s=20)
        assert heard.cancel == (lease,)
        with pytest.raises(UsageError, match="nothing to cancel"):
            cancel(session, one(build))


@pytest.mark.parametrize("again", [release, retry])
def test_a_cancelled_build_comes_back_with_a_higher_fence(database: Engine, again: partial[list[Build]]) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        rows.lease(session, build, node=N1, lease_s=90)
        cancel(session, one(build))

        again(session, one(build))

        assert rows.lease(session, build, node=N1, lease_s=90) == Lease(build_id=build.id, fence=2)


def test_all_builds_of_a_project_are_held_where_that_can_be(database: Engine) -> None:
    with transaction(database) as session:
        project = rows.project(session)
        queued = rows.build(session, project, version="1.0")
        there = rows.build(session, project, version="2.0", state=BuildState.PUBLISHED)
        other = rows.build(session, rows.project(session, "other"))

        assert hold(session, DEMO) == [queued]

        assert [build.state for build in (queued, there, other)] == ["held", "published", "queued"]


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (Which(one=99), r"there is no build 99 \(wheelfarm builds"),
        (Which(one=(NormalizedName("nothing"), None)), "the farm has no build of nothing"),
        (Which(one=(NormalizedName("demo"), Version("9"))), "the farm has no build of demo==9"),
        (
            Which(one=(NormalizedName("demo"), None), platform=Platform.parse("debian12-aarch64-cp311")),
            "the farm has no build of demo for debian12-aarch64-cp311",
        ),
    ],
)
def test_what_is_not_there_is_named(database: Engine, which: Which, message: str) -> None:
    with transaction(database) as session:
        rows.build(session)

        with pytest.raises(UsageError, match=message):
            hold(session, which)


def test_points_of_people_come_on_top_and_go_again(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, score=200.0)

        boost(session, one(build), by=50)
        boost(session, one(build), by=-20)
        assert (build.boost, build.score) == (30, 230)

        boost(session, one(build), by=0)
        assert (build.boost, build.score) == (0, 200)
        session.flush()
        assert [audit.change(entry) for entry in audit.entries(session, limit=1)] == ["boost: 30.0 → 0.0"]


@pytest.mark.parametrize("by", [float("inf"), float("nan"), 1e7])
def test_points_have_bounds(database: Engine, by: float) -> None:
    with transaction(database) as session:
        build = rows.build(session)

        with pytest.raises(UsageError, match="no number of points"):
            boost(session, one(build), by=by)


def test_what_is_done_gets_no_points(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.PUBLISHED)

        with pytest.raises(UsageError, match="nothing to prioritise"):
            boost(session, one(build), by=5)


def test_a_failed_build_is_tried_again_and_its_past_forgiven(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.FAILED)
        rows.attempt(session, build, outcome=AttemptOutcome.FAILED, failure_class=FailureClass.BUILD)

        retry(session, one(build))

        assert (build.state, build.pardoned_fence) == (BuildState.QUEUED, build.fence)


@pytest.mark.parametrize(("state", "advice"), [("published", "rebuild demo==1.0"), ("queued", "is queued")])
def test_what_did_not_fail_is_not_tried_again(database: Engine, state: str, advice: str) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=state)

        with pytest.raises(UsageError, match=advice):
            retry(session, one(build))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_loses_a_race_is_told_what_became_of_the_build(database: Engine) -> None:
    with transaction(database) as session:
        build_id = rows.build(session).id
    told: list[str] = []

    def ask() -> None:
        try:
            with transaction(database) as session:
                hold(session, Which(one=build_id))
        except UsageError as err:
            told.append(str(err))

    with transaction(database) as session:
        rows.lease(session, session.get_one(Build, build_id), node=N1, lease_s=90)
        asking = threading.Thread(target=ask)
        asking.start()
        with database.connect() as connection:
            while not connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar():
                connection.rollback()
    asking.join()

    assert told == [f"there is nothing to hold: build {build_id} is leased (wheelfarm cancel {build_id} ends it)"]
    with transaction(database) as session:
        assert session.scalars(select(AuditEntry)).all() == []


def test_a_move_that_came_too_late_is_told(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        elsewhere = update(Build).values(state=BuildState.UNNEEDED).execution_options(synchronize_session=False)
        session.execute(elsewhere)

        with pytest.raises(UsageError, match=rf"build {build.id} moved meanwhile: it is unneeded now"):
            steer._moved(session, build, BuildState.HELD, reason="held")
