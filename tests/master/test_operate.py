from __future__ import annotations

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import Engine, select

from master import operate
from schema.db.models import Build, Node, Wheel
from schema.db.session import now, transaction
from schema.errors import UsageError
from schema.names import NodeName
from schema.states import AttemptOutcome, BuildState, FailureClass
from tests import rows

DEMO, ONE = NormalizedName("demo"), Version("1.0")


def test_a_failed_build_is_tried_again_and_its_past_forgiven(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.FAILED)
        rows.attempt(session, build, outcome=AttemptOutcome.FAILED, failure_class=FailureClass.BUILD)

        operate.retry(session, build.id)

        assert (build.state, build.pardoned_fence) == (BuildState.QUEUED, build.fence)


@pytest.mark.parametrize(("state", "advice"), [("published", "rebuild demo==1.0"), ("queued", "is queued")])
def test_what_did_not_fail_is_not_tried_again(database: Engine, state: str, advice: str) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=state)

        with pytest.raises(UsageError, match=advice):
            operate.retry(session, build.id)


def test_an_unknown_build_is_named(database: Engine) -> None:
    with transaction(database) as session, pytest.raises(UsageError, match="no build 99"):
        operate.retry(session, 99)


def test_a_rebuild_takes_the_next_build_number(database: Engine) -> None:
    with transaction(database) as session:
        rows.build(session, state=BuildState.PUBLISHED)

        [again] = operate.rebuild(session, DEMO, ONE, None)

        assert (again.state, again.build_number) == (BuildState.QUEUED, 1)
        assert session.scalars(select(Build.build_number).order_by(Build.id)).all() == [0, 1]


def test_a_rebuild_of_what_was_never_built_says_how_to_ask_for_it(database: Engine) -> None:
    with transaction(database) as session, pytest.raises(UsageError, match=r"wheelfarm request demo==1\.0"):
        operate.rebuild(session, DEMO, ONE, None)


def test_a_removed_wheel_leaves_its_name_taken(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.PUBLISHED)
        wheel = rows.wheel(session, build)

        assert operate.remove(session, DEMO, None, reason="it is broken") == [wheel]

        assert session.get_one(Wheel, wheel.filename).removed_because == "it is broken"
        assert build.state == BuildState.WITHDRAWN
        with pytest.raises(UsageError, match="no wheel of demo"):
            operate.remove(session, DEMO, None, reason="again")


def test_removing_one_version_leaves_the_others(database: Engine) -> None:
    with transaction(database) as session:
        project = rows.project(session)
        for version in ("1.0", "2.0"):
            rows.wheel(session, rows.build(session, project, version=version, state=BuildState.PUBLISHED))

        operate.remove(session, DEMO, ONE, reason="old")

        kept = session.scalars(select(Wheel.version).where(Wheel.removed_at.is_(None))).all()
        assert kept == ["2.0"]
        assert all(wheel.published_at <= now(session) for wheel in session.scalars(select(Wheel)))


def test_a_node_that_was_set_aside_is_taken_back_by_a_person_only(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session, state="quarantined", state_reason="its result of build 7 was refused")

        with pytest.raises(UsageError, match="wheelfarm node resume n1"):
            operate.drain(session, NodeName("n1"), reason="holidays")

        operate.resume(session, NodeName("n1"))
        node = session.get_one(Node, "n1")
        assert (node.state, node.state_reason) == ("active", "")


def test_a_draining_node_says_why(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session)

        node = operate.drain(session, NodeName("n1"), reason="new disk")

        assert (node.state, node.state_reason) == ("draining", "new disk")
        with pytest.raises(UsageError, match="there is no node n2"):
            operate.resume(session, NodeName("n2"))
