"""The master's parts as they are wired together."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from master.service import Service
from schema import wire
from schema.jobs import Lease
from schema.names import NodeName
from schema.settings import DatabaseSection, FarmSection, Settings, UpstreamSection


def test_while_the_disk_is_full_results_stay_with_the_nodes(
    database: Engine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        farm=FarmSection(home=tmp_path / "home"),
        database=DatabaseSection(url=database_url),
        upstream=UpstreamSection(index_url="http://127.0.0.1:9/simple/"),
    )
    service = Service(settings, database=database, app=wire.celery_app(redis_url, name="test"))
    service._results.put((NodeName("n1"), Lease(build_id=1, fence=1)))
    service._room.is_enough = False

    service._collect()
    kept = service._results.qsize()
    service._room.is_enough = True
    service._collect()

    assert (kept, service._results.qsize()) == (1, 0)
    service._upstream.close()
    service._snapshot.dispose()
