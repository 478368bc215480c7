"""What the master hears, and the results that it takes then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from master.inbox import Inbox
from master.parts import Parts
from master.post import Post
from schema import wire
from schema.db.models import Node
from schema.db.session import transaction
from schema.jobs import Lease
from schema.names import NodeName
from schema.sections import DatabaseSection, FarmSection, UpstreamSection
from schema.settings import Settings
from tests import rows


@pytest.fixture
def parts(database: Engine, database_url: str, tmp_path: Path) -> Iterator[Parts]:
    settings = Settings(
        farm=FarmSection(home=tmp_path / "home"),
        database=DatabaseSection(url=database_url),
        upstream=UpstreamSection(index_url="http://127.0.0.1:9/simple/"),
    )
    made = Parts.of(settings, database)
    yield made
    made.close()


@pytest.fixture
def inbox(parts: Parts, redis_url: str) -> Inbox:
    return Inbox(parts, Post(wire.celery_app(redis_url, name="test")), wake=lambda *_: None)


def test_of_what_a_node_said_while_the_master_was_busy_only_the_newest_is_heard(
    database: Engine, parts: Parts, inbox: Inbox
) -> None:
    with transaction(database) as session:
        rows.node(session, "n1")
    written: list[object] = []
    event.listen(parts.database, "commit", written.append)
    for slots in range(1, 2001):
        inbox.on_heartbeat(rows.heartbeat("n1", slots=slots))
    inbox.hear()
    inbox.hear()

    with transaction(database) as session:
        assert session.get_one(Node, "n1").slots == 2000
    assert len(written) <= 2  # one of them is this test's


def test_a_heartbeat_that_cannot_be_handled_keeps_no_other_from_being_heard(database: Engine, inbox: Inbox) -> None:
    with transaction(database) as session:
        rows.node(session, "n1")
        rows.node(session, "n2", slots=1)
    inbox.on_heartbeat(rows.heartbeat("n1", slots=2**70))
    inbox.on_heartbeat(rows.heartbeat("n2", slots=3))

    inbox.hear()

    with transaction(database) as session:
        assert session.get_one(Node, "n2").slots == 3


def test_while_the_disk_is_full_results_stay_with_the_nodes(parts: Parts, inbox: Inbox) -> None:
    inbox.expect(NodeName("n1"), Lease(build_id=1, fence=1))
    parts.room.is_enough = False

    inbox.collect()
    kept = len(inbox)
    parts.room.is_enough = True
    inbox.collect()
    inbox.stop()

    assert (kept, len(inbox)) == (1, 0)
