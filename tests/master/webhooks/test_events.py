"""What a webhook is told of: exactly what happened, with the change itself, and only what it wants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event, select

from master import builds, operate
from master.keep import alarms, watchdog
from master.webhooks import events
from schema.causes import RULED_OUT
from schema.db import webhooks as table
from schema.db.models import Alarm, Build, Webhook
from schema.db.session import now, transaction
from schema.db.why.sentences import about
from schema.db.why.surroundings import Rules, scene
from schema.jobs import Lease
from schema.names import NodeName, project_name
from schema.sections import AlarmsSection
from schema.states import AttemptOutcome, BuildState, FailureClass
from schema.webhooks import Event
from tests import hooks, rows

EVIDENCE = "demo.c:1:10: fatal error: ffi.h: No such file or directory"


def _fails(database: Engine, *, failure_class: FailureClass = FailureClass.HEADER, message: str = EVIDENCE) -> int:
    """A build whose only attempt fails, on the only node."""
    with transaction(database) as session:
        build = session.scalar(select(Build)) or rows.build(session)
        if not session.scalar(select(Build).where(Build.leased_to.is_not(None))):
            rows.node(session, f"n{build.fence + 1}")
        lease = rows.lease(session, build, node=NodeName(f"n{build.fence + 1}"))
        assert lease is not None
        attempt = builds.attempt_of(session, Lease(build_id=build.id, fence=build.fence))
        attempt.evidence = message
        builds.end_attempt(
            session, attempt, at=now(session), outcome=AttemptOutcome.FAILED, failure_class=failure_class
        )
        builds.fail(session, build, failure_class=failure_class, message=message, retry_s=60)
        return build.id


def test_a_failure_that_stands_is_told_with_the_sentence_that_why_has_and_its_cause(database: Engine) -> None:
    with transaction(database) as session:
        hooks.hook(session)

    number = _fails(database)

    with transaction(database) as session:
        build = session.get_one(Build, number)
        assert build.state == BuildState.FAILED
        sentence = about(build, scene(session, [build], rules=Rules())).sentence
        [(kind, data)] = hooks.told(session)
    assert kind == Event.BUILD_FAILED
    assert data == {
        "build": number,
        "project": "demo",
        "version": "1.0",
        "platform": rows.PLATFORM,
        "state": "failed",
        "sentence": sentence,
        "cause": {"class": "header", "kind": "header", "subject": "ffi.h"},
    }
    assert "ffi.h" in sentence


def test_a_failure_after_which_the_build_is_tried_again_is_told_to_nobody(database: Engine) -> None:
    with transaction(database) as session:
        hooks.hook(session)

    number = _fails(database, failure_class=FailureClass.NODE, message="disk")

    with transaction(database) as session:
        assert session.get_one(Build, number).state == BuildState.WAITING
        assert hooks.told(session) == []


def test_a_build_that_was_lost_too_often_is_told_as_poisoned(database: Engine) -> None:
    with transaction(database) as session:
        hooks.hook(session)
        build = rows.build(session)
        for name in ("n1", "n2"):
            rows.node(session, name)
            rows.lease(session, build, node=NodeName(name))
            builds.give_back(session, build, why=f"node {name} went silent")

        [(kind, data)] = hooks.told(session)
    assert (kind, data["state"], data["cause"]["class"]) == (Event.BUILD_FAILED, "poisoned", "lost")
    assert "it was lost 2 times with n1, n2" in data["sentence"]


def test_a_release_that_cannot_be_built_is_told_when_it_is_planned(database: Engine) -> None:
    with transaction(database) as session:
        hooks.hook(session)
        rows.build(session, state=BuildState.FAILED, sdist_id=None, reason="upstream has no source distribution of 1.0")

        [(_, data)] = hooks.told(session)
    assert data["sentence"] == "Cannot be built: upstream has no source distribution of 1.0."
    assert data["cause"]["class"] == "no-source"


@pytest.mark.parametrize(("number", "reason"), [(-1, "import: no"), (0, f"{RULED_OUT}cffi/broken: it is")])
def test_what_only_repeats_a_build_and_what_a_rule_keeps_from_being_built_is_no_failure(
    database: Engine, number: int, reason: str
) -> None:
    with transaction(database) as session:
        hooks.hook(session)
        build = rows.build(session, build_number=number)
        events_before = hooks.told(session)
        build.state = BuildState.FAILED
        build.reason = reason
        session.flush()
        events.build_failed(session, build)

        assert events_before == hooks.told(session) == []


def test_a_removed_wheel_is_told_as_withdrawn_with_the_reason(database: Engine) -> None:
    with transaction(database) as session:
        hooks.hook(session)
        wheel = rows.wheel(session, rows.build(session, state=BuildState.PUBLISHED))
        operate.remove(session, project_name("demo"), None, who="ada@host", reason="it is\x1b[31m broken")

        [delivery] = hooks.deliveries(session)
    assert (delivery.event, delivery.project_id) == (Event.WHEEL_WITHDRAWN, wheel.project_id)
    assert delivery.data == {
        "build": wheel.build_id, "project": "demo", "version": "1.0", "platform": rows.PLATFORM,
        "filename": wheel.filename, "sha256": wheel.sha256, "reason": "it is␛[31m broken",
    }  # fmt: skip


def test_an_alarm_is_told_when_it_opens_and_when_it_closes_and_not_in_between(database: Engine) -> None:
    with transaction(database) as session:
        hooks.hook(session)
        for wrong in ({"disk-low": "only 1.0 GiB are free"}, {"disk-low": "only 0.9 GiB are free"}, {}):
            alarms.settle(session, wrong)

        (first, opened), (second, closed) = hooks.told(session)
        alarm = session.scalars(select(Alarm)).one()
    assert (first, second) == (Event.ALARM_OPENED, Event.ALARM_CLOSED)
    assert opened == {
        "alarm": "disk-low", "text": "only 1.0 GiB are free", "opened_at": alarm.raised_at.isoformat()
    }  # fmt: skip
    assert closed == {**opened, "closed_at": alarm.ended_at.isoformat() if alarm.ended_at else ""}


def test_each_webhook_is_told_only_of_what_it_wants_by_one_message(database: Engine) -> None:
    with transaction(database) as session:
        all_of_it, opened = hooks.hook(session), hooks.hook(session, "pager", "https://b.example", Event.ALARM_OPENED)
        alarms.settle(session, {"disk-low": "full"})
        alarms.settle(session, {})

        found = hooks.deliveries(session)
    assert [(row.webhook_id, row.event) for row in found] == [
        (all_of_it.id, "alarm.opened"), (opened.id, "alarm.opened"), (all_of_it.id, "alarm.closed"),
    ]  # fmt: skip
    assert found[0].message == found[1].message != found[2].message


def test_what_is_rolled_back_is_told_to_nobody(database: Engine) -> None:
    with transaction(database) as session:
        hooks.hook(session)
    with transaction(database) as session:
        alarms.settle(session, {"disk-low": "full"})
        assert len(hooks.deliveries(session)) == 1
        session.rollback()

    with transaction(database) as session:
        assert hooks.deliveries(session) == []


def test_a_webhook_that_is_off_is_told_of_nothing_and_is_an_alarm(database: Engine) -> None:
    with transaction(database) as session:
        made = hooks.hook(session)
        made.disabled_at, made.disabled_because = now(session), "the receiver answered 410: it wants no more"
        watchdog.look(session, AlarmsSection())

        assert hooks.deliveries(session) == []
        [alarm] = session.scalars(select(Alarm)).all()
        assert (alarm.name, alarm.ended_at) == ("webhook-off:chat", None)
        assert "wheelfarm webhook enable chat" in alarm.text
        table.enable(session, session.scalars(select(Webhook)).one(), who="ada@host")
        watchdog.look(session, AlarmsSection())
        assert alarm.ended_at is not None


@pytest.fixture
def statements(database: Engine) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        found.append(statement)

    event.listen(database, "before_cursor_execute", note)
    yield found
    event.remove(database, "before_cursor_execute", note)


@pytest.mark.parametrize("has_hook", [False, True])
def test_where_nobody_wants_to_know_an_event_costs_one_look_at_a_table_of_a_few_rows(
    database: Engine,
    statements: list[str],
    has_hook: bool,  # noqa: FBT001
) -> None:
    with transaction(database) as session:
        if has_hook:
            hooks.hook(session, "pager", "https://b.example", Event.ALARM_OPENED)
        build = rows.build(session, state=BuildState.FAILED)
        wheel = rows.wheel(session, rows.build(session, rows.project(session, "cffi"), state=BuildState.PUBLISHED))
        statements.clear()
        events.build_failed(session, build)
        events.wheel_published(session, wheel)
        events.alarms_changed(session, [])

        assert len(statements) == 2
        assert all("FROM webhooks" in statement for statement in statements)
        assert hooks.deliveries(session) == []


def test_a_build_that_goes_on_is_no_reason_to_look_for_webhooks(database: Engine, statements: list[str]) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        statements.clear()
        builds.move(session, build, BuildState.HELD, reason="held")
        builds.move(session, build, BuildState.QUEUED, reason="released")

    assert not any("webhooks" in statement for statement in statements)
