"""How many attempts ended in each hour, on which platform, and how; and how many builds were left to do.

Kept with every change (``schema.db.tally``), and for ``KEPT`` only: what a plot or a forecast reads never grows with
the farm.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, delete, func, select, text
from sqlalchemy.orm import Session

from schema.db import counts
from schema.db.models import HourCount, Instant
from schema.db.session import insert, now
from schema.db.tally import Tally
from schema.states import BuildState

BUILT: Final = "built"
OPEN: Final = "open"
KEPT: Final = timedelta(days=60)

_HOUR = timedelta(hours=1)
_TALLY = Tally(
    text(
        """INSERT INTO hour_counts (hour, platform, what, builds) VALUES (:hour, :platform, :what, :builds)
        ON CONFLICT (hour, platform, what) DO UPDATE SET builds = hour_counts.builds + excluded.builds"""
    ).bindparams(bindparam("hour", type_=Instant)),
    ("hour", "platform", "what"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What ended on a day (UTC): ``built`` or a class of failures → attempts; open: left to do, None: nobody knows."""

    day: date
    ended: Mapping[str, int]
    open: int | None


def note(session: Session, platform: str, what: str) -> None:
    """An attempt has ended."""
    _TALLY.note(session, (_beginning(now(session)), platform, what), 1)


def sample(session: Session) -> None:
    """Write down how many builds are left to do now, and forget what is older than ``KEPT``."""
    hour = _beginning(now(session))
    left: Counter[str] = Counter()
    for (platform, state), builds in counts.counts(session).items():
        left[platform] += builds if state in {BuildState.WAITING, BuildState.QUEUED} else 0
    if left:
        rows = [
            {"hour": hour, "platform": name, "what": OPEN, "builds": builds} for name, builds in sorted(left.items())
        ]
        added = insert(session, HourCount)
        key = [HourCount.hour, HourCount.platform, HourCount.what]
        session.execute(added.on_conflict_do_update(index_elements=key, set_={"builds": added.excluded.builds}), rows)
    session.execute(delete(HourCount).where(HourCount.hour < hour - KEPT))


def days(session: Session, *, most: int) -> list[Day]:
    """The last *most* days, the first one first; today is the last, and not over yet."""
    today = now(session).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=most - 1)
    ended: dict[date, Counter[str]] = defaultdict(Counter)
    left: dict[date, tuple[datetime, int]] = {}
    rows = session.execute(
        select(HourCount.hour, HourCount.what, func.sum(HourCount.builds))
        .where(HourCount.hour >= first)
        .group_by(HourCount.hour, HourCount.what)
        .order_by(HourCount.hour)
    )
    for hour, what, builds in rows:
        if what == OPEN:
            left[hour.date()] = (hour, int(builds))
        else:
            ended[hour.date()][what] += int(builds)
    every = [(first + timedelta(days=number)).date() for number in range(most)]
    return [Day(day=day, ended=ended[day], open=left[day][1] if day in left else None) for day in every]


def rates(session: Session, *, hours: int = 24) -> dict[str, float]:
    """Platform → attempts that ended there in an hour, the mean of the last *hours*; those without any are out."""
    rows = session.execute(
        select(HourCount.platform, func.sum(HourCount.builds))
        .where(HourCount.hour > _beginning(now(session)) - hours * _HOUR, HourCount.what != OPEN)
        .group_by(HourCount.platform)
    )
    return {platform: int(builds) / hours for platform, builds in rows if builds}


def since(session: Session, *, hours: int = 24) -> Counter[str]:
    """What ended in the last *hours*: ``built`` or a class of failures → attempts."""
    rows: Sequence[tuple[str, int]] = session.execute(
        select(HourCount.what, func.sum(HourCount.builds))
        .where(HourCount.hour > _beginning(now(session)) - hours * _HOUR, HourCount.what != OPEN)
        .group_by(HourCount.what)
    ).all()
    return Counter({what: int(builds) for what, builds in rows})


def _beginning(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
