"""The table of alarms: one open row for each name, ended by itself when what it tells of ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from master.webhooks import events
from schema.db.models import Alarm
from schema.db.session import now
from schema.printable import one_line

log = logging.getLogger(__name__)


def settle(session: Session, wrong: Mapping[str, str]) -> list[Alarm]:
    """Raise an alarm for each name in *wrong* (with its sentence) that has none, end the others; give the changed."""
    moment = now(session)
    opened = {alarm.name: alarm for alarm in session.scalars(select(Alarm).where(Alarm.ended_at.is_(None)))}
    changed = []
    for name, text in wrong.items():
        if name not in opened:
            log.warning("alarm: %s", one_line(text))
            changed.append(Alarm(name=name, text=text, raised_at=moment))
            session.add(changed[-1])
    for name, alarm in opened.items():
        if name not in wrong:
            log.warning("alarm ended: %s", one_line(alarm.text))
            alarm.ended_at = moment
            changed.append(alarm)
    session.flush()
    events.alarms_changed(session, changed)
    return changed


def untold(session: Session, *, limit: int = 50) -> Sequence[Alarm]:
    """Alarms whose beginning or end nobody was told yet, the oldest first."""
    not_told = or_(Alarm.told_at.is_(None), Alarm.told_at < Alarm.ended_at)
    return session.scalars(select(Alarm).where(not_told).order_by(Alarm.id).limit(limit)).all()


def told(session: Session, alarm_id: int, *, ended_at: datetime | None) -> None:
    """Remember that its beginning, or its end at *ended_at*, was told; an end that came meanwhile is told next."""
    alarm = session.get(Alarm, alarm_id)
    if alarm is not None:
        alarm.told_at = now(session) if ended_at is not None or alarm.ended_at is None else alarm.raised_at


def recent(session: Session, *, limit: int) -> Sequence[Alarm]:
    """All open ones, then those that ended last."""
    still = session.scalars(select(Alarm).where(Alarm.ended_at.is_(None)).order_by(Alarm.id.desc())).all()
    ended = select(Alarm).where(Alarm.ended_at.is_not(None)).order_by(Alarm.id.desc()).limit(limit)
    return [*still, *session.scalars(ended)]
