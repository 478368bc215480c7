"""Logs and rows past their time; a walk over attempts in the order of their numbers never reads the same ones twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from master import marks
from schema.db import downloads
from schema.db.models import Alarm, Attempt, Delivery, Demand, LoginFailure, LoginSession, Mark, Order
from schema.db.session import now
from schema.sections import KeepSection
from schema.states import AttemptOutcome

_AT_ONCE = 500
_DEMANDS = timedelta(days=30)
_ALARMS = timedelta(days=365)
_FAILURES = timedelta(days=1)
_ORDERS = timedelta(days=90)
_DELIVERIES = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWalk:
    """One of two walks over the same attempts.

    mark: where it remembers how far it is; built: whether it looks for attempts that ended in a wheel, or the others
    """

    mark: str
    built: bool


WALKS = (LogWalk(mark="gc-logs", built=True), LogWalk(mark="gc-failed-logs", built=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some attempts whose logs are past their time.

    end: the number up to which all were looked at; None if none was left
    """

    attempts: Sequence[Attempt]
    end: int | None


def logs(session: Session, walk: LogWalk, keep: KeepSection, *, after: int | None = None) -> Batch:
    """The next attempts that began long enough ago, from behind number *after*, else from where the mark says.

    The walk stops at the first that is too young, so its cost is that of what grew old since the last one.
    """
    if after is None:
        mark = session.get(Mark, walk.mark)
        after = int(mark.cursor or "0") if mark else 0
    limit = now(session) - timedelta(seconds=keep.logs_s if walk.built else keep.failed_logs_s)
    rows = session.scalars(select(Attempt).where(Attempt.id > after).order_by(Attempt.id).limit(_AT_ONCE)).all()
    passed = []
    for row in rows:
        if row.started_at > limit or (row.finished_at or limit) > limit:
            break
        passed.append(row)
    attempts = [row for row in passed if row.finished_at and (row.outcome == AttemptOutcome.BUILT) == walk.built]
    return Batch(attempts=attempts, end=passed[-1].id if passed else None)


def passed(session: Session, walk: LogWalk, end: int) -> None:
    """Remember that the walk has come to attempt *end*."""
    marks.at(session, walk.mark).cursor = str(end)


def fold_downloads(session: Session, keep: KeepSection) -> bool:
    """Fold one more old day of downloads into its month; False if there was none."""
    return bool(downloads.fold(session, before=(now(session) - timedelta(seconds=keep.downloads_s)).date()))


def forget_rows(session: Session) -> None:
    """Demands that nobody repeated, what ended long ago of alarms, logins, orders, deliveries: the tables are small."""
    moment = now(session)
    session.execute(delete(Demand).where(Demand.asked_at < moment - _DEMANDS))
    session.execute(delete(Alarm).where(Alarm.ended_at < moment - _ALARMS))
    session.execute(delete(LoginSession).where(LoginSession.until < moment))
    session.execute(delete(LoginFailure).where(LoginFailure.since < moment - _FAILURES))
    session.execute(delete(Order).where(Order.asked_at < moment - _ORDERS, Order.outcome.is_not(None)))
    session.execute(delete(Delivery).where(Delivery.ended_at < moment - _DELIVERIES))
