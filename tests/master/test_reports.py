"""What operators ask the database."""

from __future__ import annotations

import pytest
from packaging.utils import NormalizedName
from sqlalchemy import Engine

from master import reports
from schema.db.session import transaction
from schema.errors import UsageError
from schema.states import BuildState
from tests import rows


def test_the_status_counts_builds_by_state_in_the_order_of_a_build_s_life(database: Engine) -> None:
    with transaction(database) as session:
        published = rows.build(session, rows.project(session, "one"), state=BuildState.PUBLISHED)
        rows.build(session, rows.project(session, "two"), state=BuildState.FAILED)
        rows.build(session, rows.project(session, "three"))
        rows.wheel(session, published)
        rows.wheel(session, published, filename="gone-1.0-py3-none-any.whl", removed_at=published.created_at)

        found = reports.status(session, silent_s=90)

    assert list(found.builds.items()) == [("queued", 1), ("published", 1), ("failed", 1)]
    assert (found.projects, found.wheels, found.wheel_bytes) == (3, 1, 1000)
    assert found.last_published_at is not None


def test_the_status_of_an_empty_farm_is_nothing_at_all(database: Engine) -> None:
    with transaction(database) as session:
        found = reports.status(session, silent_s=90)

    assert (found.builds, found.wheels, found.wheel_bytes, found.last_published_at) == ({}, 0, 0, None)


def test_a_node_that_was_not_heard_lately_is_silent(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session, "loud", slots=2)
        rows.node(session, "mute", silent_s=500)
        rows.node(session, "new", heard_at=None)
        rows.node(session, "bad", silent_s=500, state="quarantined", state_reason="it lied")
        rows.build(session, state=BuildState.LEASED, leased_to="loud")

        found = reports.nodes(session, silent_s=90)

    assert [(node.name, node.state, node.busy) for node in found] == [
        ("bad", "quarantined", 0),
        ("loud", "active", 1),
        ("mute", "silent", 0),
        ("new", "silent", 0),
    ]


def test_builds_are_found_by_state_platform_and_project(database: Engine) -> None:
    with transaction(database) as session:
        rows.build(session, rows.project(session, "one"), state=BuildState.FAILED, reason="no")
        rows.build(session, rows.project(session, "two"))

        failed = reports.builds(session, states=[BuildState.FAILED])
        of_two = reports.builds(session, project=NormalizedName("two"))

    assert [(row.project, row.reason) for row in failed] == [("one", "no")]
    assert [row.project for row in of_two] == ["two"]


def test_a_build_that_does_not_exist_is_a_usage_error(database: Engine) -> None:
    with transaction(database) as session, pytest.raises(UsageError, match="there is no build 7"):
        reports.build(session, 7)
