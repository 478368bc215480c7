"""What the master hears, and the results that it takes then."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from master.inbox import Inbox
from master.parts import Parts
from master.post import Post
from schema import wire
from schema.jobs import Lease
from schema.names import NodeName
from schema.sections import DatabaseSection, FarmSection, UpstreamSection
from schema.settings import Settings


def test_while_the_disk_is_full_results_stay_with_the_nodes(
    database: Engine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        farm=FarmSection(home=tmp_path / "home"),
        database=DatabaseSection(url=database_url),
        upstream=UpstreamSection(index_url="http://127.0.0.1:9/simple/"),
    )
    parts = Parts.of(settings, database)
    inbox = Inbox(parts, Post(wire.celery_app(redis_url, name="test")), wake=lambda *_: None)
    inbox.expect(NodeName("n1"), Lease(build_id=1, fence=1))
    parts.room.is_enough = False

    inbox.collect()
    kept = len(inbox)
    parts.room.is_enough = True
    inbox.collect()
    inbox.stop()

    assert (kept, len(inbox)) == (1, 0)
    parts.close()
