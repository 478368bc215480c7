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
from schema.states import BuildState
from tests import rows

DEMO, ONE, ADA = NormalizedName("demo"), Version("1.0"), "ada@farm"


def test_a_rebuild_takes_the_next_build_number(database: Engine) -> None:
    with transaction(database) as session:
        rows.build(session, state=BuildState.PUBLISHED)

        [again] = operate.rebuild(session, DEMO, ONE, None, who=ADA)

        assert (again.state, again.build_number) == (BuildState.QUEUED, 1)
        assert session.scalars(select(Build.build_number).order_by(Build.id)).all() == [0, 1]


def test_a_rebuild_of_what_was_never_built_says_how_to_ask_for_it(database: Engine) -> None:
    with transaction(database) as session, pytest.raises(UsageError, match=r"wheelfarm request demo==1\.0"):
        operate.rebuild(session, DEMO, ONE, None, who=ADA)


def test_a_removed_wheel_leaves_its_name_taken(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.PUBLISHED)
        wheel = rows.wheel(session, build)

        assert operate.remove(session, DEMO, None, who=ADA, reason="it is broken") == [wheel]

        assert session.get_one(Wheel, wheel.filename).removed_because == "it is broken"
        assert build.state == BuildState.WITHDRAWN
        with pytest.raises(UsageError, match="no wheel of demo"):
            operate.remove(session, DEMO, None, who=ADA, reason="again")


def test_removing_one_version_leaves_the_others(database: Engine) -> None:
    with transaction(database) as session:
        project = rows.project(session)
        for version in ("1.0", "2.0"):
            rows.wheel(session, rows.build(session, project, version=version, state=BuildState.PUBLISHED))

        operate.remove(session, DEMO, ONE, who=ADA, reason="old")

        kept = session.scalars(select(Wheel.version).where(Wheel.removed_at.is_(None))).all()
        assert kept == ["2.0"]
        assert all(wheel.published_at <= now(session) for wheel in session.scalars(select(Wheel)))


def test_a_node_that_was_set_aside_is_taken_back_by_a_person_only(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session, state="quarantined", state_reason="its result of build 7 was refused")

        with pytest.raises(UsageError, match="wheelfarm node resume n1"):
            operate.drain(session, NodeName("n1"), who=ADA, reason="holidays")

        operate.resume(session, NodeName("n1"), who=ADA)
        node = session.get_one(Node, "n1")
        assert (node.state, node.state_reason) == ("active", "")


def test_a_draining_node_says_why(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session)

        node = operate.drain(session, NodeName("n1"), who=ADA, reason="new disk")

        assert (node.state, node.state_reason) == ("draining", "new disk")
        with pytest.raises(UsageError, match="there is no node n2"):
            operate.resume(session, NodeName("n2"), who=ADA)
