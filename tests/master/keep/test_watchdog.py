"""Alarms are raised when the farm does not do what it is for, and end by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from master import marks
from master.keep import alarms, watchdog
from master.keep.watchdog import Memory
from schema.db.models import Alarm, Attempt, Build, BuildCount, Mark, Node
from schema.db.session import now, transaction
from schema.sections import AlarmsSection
from schema.states import BuildState
from tests import rows

HOUR_S = 3600.0
SETTINGS = AlarmsSection(nothing_built_s=6 * HOUR_S, serial_still_s=3 * HOUR_S, node_silent_s=600.0)


def _look(database: Engine) -> None:
    with transaction(database) as session:
        watchdog.look(session, SETTINGS)


def _open(database: Engine) -> dict[str, str]:
    with transaction(database) as session:
        return {alarm.name: alarm.text for alarm in session.scalars(select(Alarm).where(Alarm.ended_at.is_(None)))}


def _hours_pass(database: Engine, hours: float) -> None:
    """As if the watchdog had looked all the time."""
    with transaction(database) as session:
        mark = session.get_one(Mark, watchdog.MARK)
        memory, by = Memory.read(mark.cursor), hours * HOUR_S
        memory.awake_since -= by
        memory.queued_since -= by if memory.queued_since else 0.0
        memory.serial_since -= by
        memory.samples = [(at - by, count) for at, count in memory.samples]
        mark.cursor = memory.text()


def _sleeps(database: Engine) -> None:
    """The master was down for a day."""
    _hours_pass(database, 24)
    with transaction(database) as session:
        mark = session.get_one(Mark, watchdog.MARK)
        memory = Memory.read(mark.cursor)
        memory.looked_at -= 24 * HOUR_S
        mark.cursor = memory.text()


@pytest.fixture
def queued(database: Engine) -> int:
    with transaction(database) as session:
        return rows.build(session).id


def _ended(database: Engine, build_id: int, *, hours_ago: float, outcome: str = "built") -> None:
    with transaction(database) as session:
        attempt = rows.attempt(session, session.get_one(Build, build_id), outcome=outcome)
        attempt.finished_at = now(session) - timedelta(hours=hours_ago)


def test_a_sound_farm_has_no_alarm(database: Engine, queued: int) -> None:
    _look(database)
    _hours_pass(database, 100)
    _ended(database, queued, hours_ago=1)
    _look(database)

    assert _open(database) == {}


def test_a_queue_that_nobody_works_on_is_an_alarm_that_ends_with_the_next_build(database: Engine, queued: int) -> None:
    _ended(database, queued, hours_ago=7)
    _ended(database, queued, hours_ago=1, outcome="lost")
    _look(database)
    assert _open(database) == {}  # it has only begun to look

    _hours_pass(database, 7)
    _look(database)
    assert list(_open(database)) == ["nothing-built"]
    assert "builds are queued, but none ended since 20" in _open(database)["nothing-built"]

    _ended(database, queued, hours_ago=0)
    _look(database)
    assert _open(database) == {}


def test_an_empty_queue_is_no_reason_for_an_alarm(database: Engine, queued: int) -> None:
    _look(database)
    with transaction(database) as session:
        session.get_one(Build, queued).state = BuildState.PUBLISHED
    _hours_pass(database, 7)
    _look(database)
    with transaction(database) as session:
        session.get_one(Build, queued).state = BuildState.QUEUED
    _look(database)

    assert _open(database) == {}


def test_a_full_disk_is_one_alarm_not_two(database: Engine, queued: int) -> None:  # noqa: ARG001
    _look(database)
    _hours_pass(database, 7)
    with transaction(database) as session:
        marks.at(session, "intake").note = "only 1.0 GiB are free"
    _look(database)

    assert _open(database) == {"disk-low": "only 1.0 GiB are free"}


def _serial(database: Engine, serial: int) -> None:
    with transaction(database) as session:
        marks.at(session, "feed").serial = serial


def test_a_serial_that_stands_still_is_an_alarm_until_it_moves(database: Engine) -> None:
    _serial(database, 5)
    _look(database)
    _hours_pass(database, 4)
    _serial(database, 5)  # read again, and no news
    _look(database)
    assert "the upstream's serial is 5 since" in _open(database)["serial-still"]

    _serial(database, 6)
    _look(database)
    assert _open(database) == {}


def test_a_farm_that_follows_no_serial_has_no_such_alarm(database: Engine) -> None:
    _look(database)
    _hours_pass(database, 400)
    _look(database)

    assert _open(database) == {}


def test_a_farm_whose_scope_became_narrow_is_not_alarmed_by_its_old_serial(database: Engine) -> None:
    _serial(database, 5)
    _look(database)
    with transaction(database) as session:
        marks.at(session, "feed").cursor = "projects"
    _look(database)
    _hours_pass(database, 400)
    _look(database)

    assert _open(database) == {}


def test_an_active_node_that_is_silent_is_an_alarm_of_its_own(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session, "pi4", silent_s=700)
        rows.node(session, "pi5", silent_s=5)
        rows.node(session, "drains", silent_s=700, state="draining")
        rows.node(session, "new", heard_at=None)
    _look(database)
    _hours_pass(database, 1)
    _look(database)
    assert list(_open(database)) == ["node-silent:pi4"]

    with transaction(database) as session:
        session.get_one(Node, "pi4").heard_at = now(session)
    _look(database)
    assert _open(database) == {}


def test_a_master_that_was_down_blames_nobody_for_what_it_did_not_see(database: Engine, queued: int) -> None:
    _serial(database, 5)
    with transaction(database) as session:
        rows.node(session, "pi4", silent_s=24 * HOUR_S)
    _ended(database, queued, hours_ago=25)
    _look(database)
    _sleeps(database)

    _look(database)

    assert _open(database) == {}


def _queue_is(database: Engine, builds: int) -> None:
    with transaction(database) as session:
        session.merge(BuildCount(platform=rows.PLATFORM, state="queued", builds=builds))


def _two_days(database: Engine, counts: list[int]) -> None:
    for count in counts:
        _queue_is(database, count)
        _look(database)
        _hours_pass(database, 1)
    _look(database)


def test_a_queue_that_only_grows_is_an_alarm_until_it_shrinks(database: Engine) -> None:
    _two_days(database, [100 + hour for hour in range(50)])
    assert list(_open(database)) == ["queue-grows"]
    assert "from 100 to 147 builds" in _open(database)["queue-grows"]

    _two_days(database, [10])
    assert _open(database) == {}


def test_a_queue_that_shrinks_now_and_then_is_no_alarm(database: Engine) -> None:
    _two_days(database, [100 + hour - 20 * (hour == 30) for hour in range(50)])

    assert _open(database) == {}


def test_what_is_remembered_of_the_queue_is_bounded(database: Engine) -> None:
    _two_days(database, list(range(120)))

    with transaction(database) as session:
        memory = Memory.read(session.get_one(Mark, watchdog.MARK).cursor)
    assert len(memory.samples) == 49


@pytest.mark.parametrize("text", ["", "{", "[]", '{"samples": 5}', '{"of another version": 1, "samples": []}'])
def test_a_memory_that_cannot_be_read_is_forgotten(text: str) -> None:
    assert Memory.read(text) == Memory()


def test_an_alarm_is_raised_once_however_often_it_is_looked_at(database: Engine) -> None:
    with transaction(database) as session:
        first = alarms.settle(session, {"a": "something"})
        again = alarms.settle(session, {"a": "something"})

    assert ([alarm.name for alarm in first], again) == (["a"], [])


def test_the_newest_end_is_found_among_many_attempts(database: Engine, queued: int) -> None:
    with transaction(database) as session:
        moment = now(session)
        session.add_all(
            Attempt(build_id=queued, fence=fence, node="n1", outcome="lost", started_at=moment, finished_at=moment)
            for fence in range(2, 900)
        )
        session.add(
            Attempt(build_id=queued, fence=1, node="n1", outcome="failed", started_at=moment, finished_at=moment)
        )
    _look(database)
    _hours_pass(database, 7)
    _look(database)

    assert _open(database) == {}


def test_a_node_that_is_not_well_raises_an_alarm_for_each_trouble_until_it_is_clearly_better(database: Engine) -> None:
    def becomes(**health: object) -> set[str]:
        with transaction(database) as session:
            session.get_one(Node, "pi4").health = health
        _look(database)
        return set(_open(database))

    with transaction(database) as session:
        rows.node(session, "pi4")
        rows.node(session, "gone", state="retired", health={"temperature_c": 99})
        rows.node(session, "mute", state="draining", silent_s=700, health={"temperature_c": 99})

    assert becomes(temperature_c=81, clock_s=3600) == {"node-hot:pi4", "node-clock:pi4"}
    assert _open(database)["node-clock:pi4"] == (
        "node pi4: its clock is 3600 s ahead of the farm's: timedatectl set-ntp true there"
    )
    assert becomes(temperature_c=72, clock_s=1) == {"node-hot:pi4"}
    assert becomes(temperature_c=69) == set()
    assert becomes(temperature_c=72) == set()
