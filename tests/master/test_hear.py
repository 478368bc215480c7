from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from master import builds, hear, sweep
from master.choose import choose
from master.dispatch import desks
from master.lateness import Lateness
from schema.db.models import Build, Node
from schema.db.session import now, transaction
from schema.jobs import Heartbeat, Lease, Progress, Step
from schema.names import NodeName
from schema.protocol import PROTOCOL
from schema.states import BuildState
from schema.vitals import Health, Vitals
from tests import rows

N1 = NodeName("n1")
ARM = ("debian12-aarch64-cp311", "debian12-armv7l-cp311")
TIMES: dict[str, Any] = {"lease_s": 90.0, "lost_message_s": 20.0}


def _leased(database: Engine, *, seconds_ago: float = 0, begun: bool = False) -> Lease:
    with transaction(database) as session:
        rows.node(session)
        lease = rows.lease(session, rows.build(session), node=N1, lease_s=90)
        assert lease is not None
        session.execute(update(Build).values(leased_at=now(session) - timedelta(seconds=seconds_ago)))
        if begun:
            builds.attempt_of(session, lease).steps = [{"name": "fetch"}]
        return lease


def test_a_node_that_was_never_enrolled_is_not_believed(database: Engine) -> None:
    with transaction(database) as session:
        heard = hear.heartbeat(session, rows.heartbeat("stranger"), **TIMES)

        assert heard == hear.Heard()
        assert session.get(Node, "stranger") is None


def test_a_node_offers_only_what_its_certificate_allows(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session)

        hear.heartbeat(session, rows.heartbeat(platforms=(rows.PLATFORM, "debian12-aarch64-cp311")), **TIMES)

        assert session.get_one(Node, "n1").platforms == [rows.PLATFORM]


def test_a_node_tells_what_it_emulates_and_does_not_get_what_may_not_be(database: Engine) -> None:
    said = rows.heartbeat(
        platforms=(rows.PLATFORM, *ARM, "debian12-riscv64-cp311"), emulated=(*ARM, "debian12-riscv64-cp311")
    )
    with transaction(database) as session:
        node = rows.node(session, allowed_platforms=[rows.PLATFORM, *ARM])

        hear.heartbeat(session, said, **TIMES)
        assert (node.platforms, node.emulated) == ([rows.PLATFORM, *ARM], list(ARM))

        hear.heartbeat(session, said, **TIMES, native_only=("debian12-armv7l-*", "debian12-x86_64-*"))
        assert (node.platforms, node.emulated) == ([rows.PLATFORM, ARM[0]], [ARM[0]])


def test_a_node_tells_what_its_machine_has(database: Engine) -> None:
    with transaction(database) as session:
        node = rows.node(session)

        hear.heartbeat(session, rows.heartbeat(cores=4, memory_bytes=2**32, disk_free_bytes=2**33), **TIMES)

        assert (node.cores, node.memory_bytes, node.disk_free_bytes) == (4, 2**32, 2**33)


@pytest.mark.parametrize("off_s", [-3600.0, 0.0, 12.5])
def test_how_far_a_nodes_clock_is_off_is_told_whatever_its_message_waited(database: Engine, off_s: float) -> None:
    with transaction(database) as session:
        node = rows.node(session)
        said_at = now(session) + timedelta(seconds=off_s - 30)
        said = rows.heartbeat(boot="b", uptime_s=5.0, vitals=Vitals(at=said_at, load=0.5))

        hear.heartbeat(session, said, **TIMES, lag_s=lambda: 30.0)

        assert node.health["clock_s"] == pytest.approx(off_s, abs=1.5)
        assert Health.read(node.health, 0).vitals == said.vitals


def test_a_clock_is_not_blamed_where_nobody_knows_how_late_the_message_is(database: Engine) -> None:
    with transaction(database) as session:
        node = rows.node(session)

        hear.heartbeat(session, rows.heartbeat(vitals=Vitals(at=datetime(2020, 1, 1, tzinfo=UTC))), **TIMES)

        assert node.health["clock_s"] is None


@pytest.mark.parametrize("spoken", [PROTOCOL - 1, PROTOCOL + 1])
def test_a_node_may_be_one_version_of_the_protocol_behind_or_ahead(database: Engine, spoken: int) -> None:
    lease = _leased(database)
    said = rows.heartbeat(running=(lease,)).to_json() | {"protocol": spoken, "of_the_next_version": 1}
    with transaction(database) as session:
        hear.heartbeat(session, Heartbeat.from_json(said), **TIMES)

        node = session.get_one(Node, "n1")
        assert (node.protocol, node.unfit, node.platforms) == (spoken, "", [rows.PLATFORM])
        assert session.get_one(Build, lease.build_id).leased_to == "n1"


def test_a_node_with_a_foreign_protocol_gets_nothing_and_loses_nothing_until_it_is_upgraded(database: Engine) -> None:
    lease = _leased(database)
    foreign = Heartbeat.from_json({"node": "n1", "version": "9", "protocol": PROTOCOL + 2, "finished": "who knows"})
    with transaction(database) as session:
        heard = hear.heartbeat(session, foreign, **TIMES)

        node, build = session.get_one(Node, "n1"), session.get_one(Build, lease.build_id)
        assert heard == hear.Heard()
        assert (node.platforms, node.unfit.endswith("upgrade the master")) == ([], True)
        assert (build.state, builds.attempt_of(session, lease).outcome) == (BuildState.QUEUED, "cancelled")
        assert choose(session, desks(session, heard_since=now(session) - timedelta(60))[0]) == []

        hear.heartbeat(session, rows.heartbeat(), **TIMES)
        assert (node.platforms, node.unfit) == ([rows.PLATFORM], "")


def test_a_result_that_is_waited_for_is_collected_and_any_other_forgotten(database: Engine) -> None:
    lease = _leased(database)
    other = Lease(build_id=lease.build_id, fence=lease.fence + 7)
    with transaction(database) as session:
        heard = hear.heartbeat(session, rows.heartbeat(finished=(lease, other)), **TIMES)

        assert (heard.collect, heard.forget) == ((lease,), (other,))


def test_a_node_is_not_blamed_for_a_result_that_the_master_cannot_take_for_long(database: Engine) -> None:
    lease = _leased(database)
    with transaction(database) as session:
        builds.move(session, session.get_one(Build, lease.build_id), BuildState.COLLECTING, reason="", leased_to="n1")
        session.execute(update(Build).values(lease_until=now(session) - timedelta(seconds=1)))
        hear.heartbeat(session, rows.heartbeat(finished=(lease,)), **TIMES)

        assert sweep.expired(session) == 0


def test_a_build_whose_lease_is_gone_is_cancelled_on_the_node(database: Engine) -> None:
    lease = _leased(database)
    with transaction(database) as session:
        builds.give_back(session, session.get_one(Build, lease.build_id), why="silent")

        assert hear.heartbeat(session, rows.heartbeat(running=(lease,)), **TIMES).cancel == (lease,)


def test_a_job_that_a_node_never_mentions_was_a_lost_message(database: Engine) -> None:
    lease = _leased(database, seconds_ago=30)
    with transaction(database) as session:
        hear.heartbeat(session, rows.heartbeat(), **TIMES)

        build = session.get_one(Build, lease.build_id)
        assert (build.state, build.reason) == (BuildState.QUEUED, "again: the message to node n1 was lost")


def test_a_job_that_had_begun_and_is_mentioned_no_more_was_lost_with_the_node(database: Engine) -> None:
    lease = _leased(database, seconds_ago=30, begun=True)
    with transaction(database) as session:
        hear.heartbeat(session, rows.heartbeat(), **TIMES)

        build = session.get_one(Build, lease.build_id)
        assert (build.state, build.reason) == (BuildState.QUEUED, "again: node n1 was restarted")
        assert builds.attempt_of(session, lease).outcome == "lost"


def test_a_job_just_sent_is_given_time_to_arrive(database: Engine) -> None:
    lease = _leased(database, seconds_ago=5)
    with transaction(database) as session:
        hear.heartbeat(session, rows.heartbeat(), **TIMES)

        assert session.get_one(Build, lease.build_id).state == BuildState.LEASED


def _late(lateness: Lateness, *, by_s: float) -> Heartbeat:
    """What the node said *by_s* seconds ago, as it comes off the wire now."""
    said = rows.heartbeat(boot="b1", uptime_s=lateness.clock() + 1000 - by_s)
    return Heartbeat.from_json(json.loads(json.dumps(said.to_json())))


@pytest.mark.parametrize(("late_s", "given_back"), [(0, True), (5, True), (15, False), (60, False)])
def test_a_heartbeat_that_waited_in_the_masters_queue_does_not_take_away_what_was_given_out_since(
    database: Engine, late_s: float, *, given_back: bool
) -> None:
    lateness = Lateness()
    lease = _leased(database, seconds_ago=30)
    lateness.of(_late(lateness, by_s=0))
    message = _late(lateness, by_s=late_s)

    with transaction(database) as session:
        hear.heartbeat(session, message, **TIMES, lag_s=lambda: lateness.of(message))

        expected = BuildState.QUEUED if given_back else BuildState.LEASED
        assert session.get_one(Build, lease.build_id).state == expected


def test_a_lease_that_ran_out_is_given_back_and_a_living_one_is_not(database: Engine) -> None:
    lease = _leased(database)
    with transaction(database) as session:
        assert sweep.expired(session) == 0

        session.execute(update(Build).values(lease_until=now(session) - timedelta(seconds=1)))
        assert sweep.expired(session) == 1

    with transaction(database) as session:
        assert session.get_one(Build, lease.build_id).reason == "again: node n1 went silent"


def test_progress_is_kept_for_a_lease_that_is_held_and_only_then(database: Engine) -> None:
    lease = _leased(database)
    steps = (Step(name="fetch", started_at=datetime.now(UTC), seconds=0.5),)
    with transaction(database) as session:
        assert hear.progress(session, Progress(node=N1, lease=lease, steps=steps))
        assert builds.attempt_of(session, lease).steps[0]["name"] == "fetch"

        assert not hear.progress(session, Progress(node=NodeName("n2"), lease=lease, steps=()))
        assert builds.attempt_of(session, lease).steps[0]["name"] == "fetch"


def _piece(offset: int, text: str) -> Progress:
    return Progress(node=N1, lease=Lease(build_id=1, fence=1), steps=(), log_offset=offset, log=text)


def test_a_log_is_put_together_from_pieces_that_come_twice_or_leave_a_gap(tmp_path: Path) -> None:
    path = hear.log_path(tmp_path, Lease(build_id=1, fence=1))

    for offset, text in ((0, "hello "), (6, "wörld"), (6, "wörld"), (90, "lost"), (12, "!")):
        hear.keep_log(tmp_path, _piece(offset, text), limit_bytes=100)

    assert path.read_text() == "hello wörld!"


def test_a_log_keeps_bytes_that_are_no_text_and_never_grows_over_its_limit(tmp_path: Path) -> None:
    path = hear.log_path(tmp_path, Lease(build_id=1, fence=1))

    hear.keep_log(tmp_path, _piece(0, b"\xff\xfe\x00".decode("utf-8", "surrogateescape")), limit_bytes=10)
    hear.keep_log(tmp_path, _piece(3, "x" * 50), limit_bytes=10)

    assert path.read_bytes() == b"\xff\xfe\x00"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_only_the_indexes_of_what_is_leased_are_read(database: Engine) -> None:
    lease = _leased(database)
    asked: list[tuple[str, Any]] = []
    event.listen(database, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))

    with transaction(database) as session:
        hear.heartbeat(session, rows.heartbeat(running=(lease,)), **TIMES)
        sweep.expired(session)

    queries = [(sql, values) for sql, values in asked if sql.startswith("SELECT") and "FROM builds" in sql]
    with database.connect() as connection:
        rows_of_plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in queries]
        plans = {row[3] for plan in rows_of_plans for row in plan}
    assert {plan for plan in plans if "builds" in plan} == {
        "SEARCH builds USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH builds USING INDEX ix_builds_leased_to (leased_to=?)",
        "SEARCH builds USING INDEX ix_builds_lease_until (lease_until<?)",
    }
