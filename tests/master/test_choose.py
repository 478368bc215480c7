"""Which builds a node gets: by score, where they have room, the longest first once the queue ends."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, bindparam, text
from sqlalchemy.orm import Session

from master import choose
from master.choose import Desk
from schema.capacity import Machine
from schema.db.models import Instant
from schema.db.session import now, transaction
from schema.names import NodeName
from tests import rows

GIB = 2**30
OTHER = "debian13-x86_64-cp313"


def desk(name: str = "n1", *, memory: float = 0, disk: float = 0, **values: Any) -> Desk:
    return Desk(
        **{
            "node": NodeName(name),
            "platforms": (rows.PLATFORM, OTHER),
            "slots": 4,
            "machine": Machine(memory_bytes=int(memory * GIB), disk_free_bytes=int(disk * GIB)),
            **values,
        }
    )


def queue(session: Session, *names: str, **values: Any) -> None:
    """One build of each name, each less urgent than the one before."""
    for at, name in enumerate(names):
        rows.build(session, rows.project(session, name), **{"score": 100.0 - at, **values})


def names(session: Session, of: Desk, **values: Any) -> list[str]:
    return [item.project for item in choose.choose(session, of, **values)]


def test_the_best_of_all_platforms_and_sizes_come_first(database: Engine) -> None:
    with transaction(database) as session:
        queue(session, "second", size=0, score=80.0)
        queue(session, "first", size=4, score=90.0)
        queue(session, "third", platform=OTHER, score=70.0)
        queue(session, "fourth", "fifth", score=60.0)

        assert names(session, desk(slots=3)) == ["first", "second", "third"]


def test_a_large_build_waits_for_a_machine_that_can_hold_it(database: Engine) -> None:
    with transaction(database) as session:
        queue(session, "large", size=2)
        queue(session, "small", size=0, score=1.0)

        assert names(session, desk(memory=2)) == ["small"]
        assert names(session, desk(memory=8, disk=2)) == ["small"]
        assert names(session, desk(memory=8, disk=20)) == ["large", "small"]


def test_two_large_builds_do_not_run_at_once_on_a_small_machine(database: Engine) -> None:
    with transaction(database) as session:
        queue(session, "one", "two", size=2)
        queue(session, "small", size=0, score=1.0)

        assert names(session, desk(memory=4)) == ["one", "small"]
        assert names(session, desk(memory=4, running=(2,))) == ["small"]


def test_one_node_keeps_its_slots_free_for_a_large_build_and_the_others_go_on(database: Engine) -> None:
    with transaction(database) as session:
        queue(session, "large", size=2)
        queue(session, "small", size=0, score=1.0)
        kept_free: set[int] = set()

        assert names(session, desk("n1", memory=4, running=(1, 1)), kept_free=kept_free) == []
        assert names(session, desk("n2", memory=4, running=(1, 1)), kept_free=kept_free) == ["small"]


def test_a_small_board_builds_what_nobody_knows_one_at_a_time(database: Engine) -> None:
    with transaction(database) as session:
        queue(session, "one", "two")

        assert names(session, desk(memory=0.5)) == ["one"]


def test_at_the_end_of_the_queue_the_longest_begins_first(database: Engine) -> None:
    with transaction(database) as session:
        queue(session, "short", expected_s=10.0)
        queue(session, "unknown", score=50.0)
        queue(session, "unknown-too", score=49.0)
        queue(session, "long", expected_s=3600.0, score=1.0)
        queue(session, "longest", expected_s=7200.0, size=0, score=1.0)

        assert names(session, desk(), longest_first=True) == ["longest", "long", "unknown", "unknown-too"]
        assert names(session, desk(slots=1)) == ["short"]


def test_a_node_without_a_free_slot_or_platform_gets_nothing(database: Engine) -> None:
    with transaction(database) as session:
        queue(session, "demo")

        assert names(session, desk(slots=2, running=(0, 1))) == []
        assert names(session, desk(platforms=())) == []


def test_a_node_that_claims_a_million_slots_gets_no_more_than_a_machine_can_have() -> None:
    assert desk(slots=10**6).free == 256


def test_each_look_goes_by_the_index_of_queued_builds(database: Engine) -> None:
    with transaction(database) as session:
        queue(session, "demo")
        sqlite = session.get_bind().dialect.name == "sqlite"
        if not sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))
            session.execute(text("SET LOCAL enable_sort = off"))
        asked = str(choose.statement(2, (0, 1), 4).element)
        values = {"platform_0": rows.PLATFORM, "platform_1": OTHER, "node": "n1", "at": now(session)}
        explain = text(f"EXPLAIN {'QUERY PLAN ' if sqlite else ''}{asked}").bindparams(bindparam("at", type_=Instant))
        plan = "\n".join(str(tuple(row)) for row in session.execute(explain, values))

    assert plan.count("ix_builds_next") == 4, plan
    assert "SCAN builds" not in plan
    assert "ORDER BY" not in plan  # the index gives the order
    assert "Sort" not in plan
