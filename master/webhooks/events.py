"""What is told of each event; it is looked up only where a webhook wants to know, in the transaction of the event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from master import failures
from master.webhooks import outbox
from schema import causes
from schema.db.models import Alarm, Attempt, Build, Wheel
from schema.db.why.sentences import about
from schema.db.why.surroundings import Rules, scene
from schema.failure_causes import Cause
from schema.printable import one_line
from schema.states import BuildState, FailureClass
from schema.webhooks import Event


def build_failed(session: Session, build: Build) -> None:
    """A build has failed for good, or was lost too often; not one that only repeats, nor what a rule keeps from it."""
    if build.is_repeat or build.reason.startswith(causes.RULED_OUT):
        return
    if not (wanting := outbox.wanting(session, Event.BUILD_FAILED)):
        return
    cause = _cause(session, build)
    data = {
        **_build(build),
        "state": str(build.state),
        "sentence": about(build, scene(session, [build], rules=Rules())).sentence,
        "cause": {"class": cause.failure_class, "kind": cause.kind, "subject": cause.subject},
    }
    outbox.put(session, wanting[Event.BUILD_FAILED], Event.BUILD_FAILED, data)


def wheel_published(session: Session, wheel: Wheel) -> None:
    """A file is served from now on."""
    if wanting := outbox.wanting(session, Event.WHEEL_PUBLISHED):
        more = {"size_bytes": wheel.size_bytes, "metadata_sha256": wheel.metadata_sha256}
        data = {**_wheel(session, wheel), **more}
        outbox.put(session, wanting[Event.WHEEL_PUBLISHED], Event.WHEEL_PUBLISHED, data, project_id=wheel.project_id)


def wheel_withdrawn(session: Session, wheel: Wheel) -> None:
    """A file is served no more."""
    if wanting := outbox.wanting(session, Event.WHEEL_WITHDRAWN):
        data = {**_wheel(session, wheel), "reason": one_line(wheel.removed_because, limit=1000)}
        outbox.put(session, wanting[Event.WHEEL_WITHDRAWN], Event.WHEEL_WITHDRAWN, data, project_id=wheel.project_id)


def alarms_changed(session: Session, changed: Sequence[Alarm]) -> None:
    """These have opened or closed."""
    wanting = outbox.wanting(session, Event.ALARM_OPENED, Event.ALARM_CLOSED) if changed else {}
    for alarm in changed:
        event = Event.ALARM_CLOSED if alarm.ended_at else Event.ALARM_OPENED
        data: dict[str, Any] = {"alarm": alarm.name, "text": one_line(alarm.text, limit=1000)}
        data["opened_at"] = alarm.raised_at.isoformat()
        if alarm.ended_at is not None:
            data["closed_at"] = alarm.ended_at.isoformat()
        outbox.put(session, wanting.get(event, ()), event, data)


def _cause(session: Session, build: Build) -> Cause:
    if build.state == BuildState.POISONED:
        return Cause(FailureClass.LOST)
    last = select(Attempt).where(Attempt.build_id == build.id, Attempt.fence == build.fence)
    return failures.cause_of(build, session.scalar(last))


def _build(build: Build) -> dict[str, Any]:
    return {
        "build": build.id,
        "project": build.project.name,
        "version": build.version,
        "platform": build.platform,
    }


def _wheel(session: Session, wheel: Wheel) -> dict[str, Any]:
    return {**_build(session.get_one(Build, wheel.build_id)), "filename": wheel.filename, "sha256": wheel.sha256}
