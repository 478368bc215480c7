"""What Prometheus is told, read back by Prometheus's own library."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, event

from master import builds
from schema.db import metrics
from schema.db.models import HourCount, Leadership, Order
from schema.db.session import now, transaction
from schema.states import AttemptOutcome, FailureClass
from tests import entries
from tests.entries import ARM, HERE, ago, later
from tests.web.seed import HEALTH

Samples = dict[tuple[str, tuple[str, ...]], float]


def _told(database: Engine, accept: str = "") -> tuple[bytes, str]:
    with transaction(database) as session:
        return metrics.text(metrics.families(session, silent_s=90), accept)


def _samples(database: Engine) -> Samples:
    families = text_string_to_metric_families(_told(database)[0].decode())
    return {(item.name, tuple(item.labels.values())): item.value for family in families for item in family.samples}


def test_a_farm_that_never_ran_tells_nothing_that_is_made_up(database: Engine) -> None:
    found = _samples(database)

    assert found["wheelfarm_wheels", ()] == 0
    assert found["wheelfarm_master_leads", ()] == 0
    assert {name for name, _ in found} == {
        "wheelfarm_info",
        "wheelfarm_wheels",
        "wheelfarm_wheels_bytes",
        "wheelfarm_upstream_errors",
        "wheelfarm_orders_open",
        "wheelfarm_master_leads",
    }


def test_queue_builds_alarms_orders_and_leader(database: Engine) -> None:
    old = ago(hours=5)
    with transaction(database) as session:
        cffi = entries.project(session, errors=2)
        entries.build(session, cffi, "1", created_at=old)
        entries.build(session, cffi, "2")
        entries.build(session, cffi, "3", platform=ARM, state="published")
        entries.alarm(session, 'disk-low:"\\\n')
        entries.alarm(session, "over", ended_at=ago())
        entries.mark(session, "feed", cursor="changelog", finished_at=old)
        session.add(Leadership(id=1, holder="farm-a:4711", epoch=1, until=later(minutes=1)))
        session.add(Order(who="ada", action="retry", arguments={}, asked_at=ago()))

    found = _samples(database)

    assert found["wheelfarm_builds", (HERE, "queued")] == 2
    assert found["wheelfarm_builds", (ARM, "published")] == 1
    assert found["wheelfarm_queue_oldest_timestamp_seconds", ()] == pytest.approx(old.timestamp())
    assert [values for name, values in found if name == "wheelfarm_alarm"] == [('disk-low:"\\\n',)]
    assert found["wheelfarm_upstream_errors", ()] == 1
    assert found["wheelfarm_upstream_news_timestamp_seconds", ()] == pytest.approx(old.timestamp())
    assert found["wheelfarm_master_leads", ()] == 1
    assert found["wheelfarm_orders_open", ()] == 1


def test_an_attempt_that_ends_is_counted_by_its_class_and_timed(database: Engine) -> None:
    with transaction(database) as session:
        build = entries.build(session, entries.project(session), state="leased", leased_to="pi4", fence=1)
        attempt = entries.attempt(session, build, started_at=ago(seconds=400))
        for _ in range(2):  # the second time it has ended already
            builds.end_attempt(
                session, attempt, at=now(session), outcome=AttemptOutcome.FAILED, failure_class=FailureClass.HEADER
            )

    found = _samples(database)

    assert found["wheelfarm_attempts_total", (HERE, "header")] == 1
    assert found["wheelfarm_attempt_duration_seconds_bucket", ("180.0", "failed", HERE)] == 0
    assert found["wheelfarm_attempt_duration_seconds_bucket", ("600.0", "failed", HERE)] == 1
    assert found["wheelfarm_attempt_duration_seconds_count", ("failed", HERE)] == 1
    assert found["wheelfarm_attempt_duration_seconds_sum", ("failed", HERE)] == pytest.approx(400, abs=30)


def test_each_node_tells_how_it_is_and_what_it_did_not_say_is_left_out(database: Engine) -> None:
    with transaction(database) as session:
        heat = {"health": {**HEALTH, "throttled": 0x50004}, "cores": 4, "memory_bytes": 2**33, "disk_free_bytes": 5}
        entries.node(session, "pi4", slots=2, **heat)
        entries.node(session, "hostile", health={"load": "NaN", "temperature_c": 1e300, "clock_s": []})
        entries.node(session, "gone", heard_at=ago(hours=1))

    found = _samples(database)

    assert {values for name, values in found if name == "wheelfarm_node_state"} == {
        ("pi4", "active"),
        ("hostile", "active"),
        ("gone", "silent"),
    }
    figures = {
        name.removeprefix("wheelfarm_node_"): value for (name, values), value in found.items() if values == ("pi4",)
    }
    assert figures.pop("heard_timestamp_seconds") > 1.7e9
    assert figures == {
        "slots": 2,
        "busy_slots": 0,
        "cores": 4,
        "memory_bytes": 2**33,
        "disk_free_bytes": 5,
        "load1": 2.4,
        "memory_free_bytes": 3_100_000_000,
        "temperature_celsius": 61.5,
        "throttled": 1,
        "clock_offset_seconds": 0.2,
    }
    hostile = {name for name, values in found if values == ("hostile",)}
    assert hostile == {f"wheelfarm_node_{name}" for name in ("slots", "busy_slots", "heard_timestamp_seconds")}


def test_who_asks_for_openmetrics_gets_it(database: Engine) -> None:
    data, content_type = _told(database, "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = openmetrics.text_string_to_metric_families(data.decode())  # type: ignore[no-untyped-call]
    assert "wheelfarm" in {family.name for family in families}
    assert _told(database)[1] == "text/plain; version=0.0.4; charset=utf-8"


def test_as_many_questions_are_asked_however_much_there_is(database: Engine) -> None:
    asked: list[Any] = []
    event.listen(database, "before_cursor_execute", lambda *call: asked.append(call[2]))
    few = _asked(database, asked)
    with transaction(database) as session:
        cffi = entries.project(session)
        for number in range(30):
            build = entries.build(session, cffi, str(number))
            entries.wheel(session, build, f"cffi-{number}-py3-none-any.whl")
            entries.node(session, f"n{number}")
            session.add(HourCount(hour=ago(hours=number), platform=HERE, what="built", builds=1))
        entries.mark(session, "feed")

    assert _asked(database, asked) <= few + 2  # what the feed has to do is asked once there is one


def _asked(database: Engine, asked: list[Any]) -> int:
    asked.clear()
    _told(database)
    return len(asked)
