"""What only a walk through every row would tell: kept with every change (``schema.db.tally``), for Prometheus.

Totals of attempts only rise, as a counter must; those of wheels follow the rows of ``wheels`` by themselves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import Connection, event, func, inspect, select, text
from sqlalchemy.orm import Mapper, Session, object_session

from schema.db.models import Total, Wheel
from schema.db.tally import Tally
from schema.states import AttemptOutcome

# Upper ends, in seconds, of the groups that the durations of attempts are counted in; the last group has none.
BOUNDS_S: Final = (10, 30, 60, 180, 600, 1800, 3600, 7200, 14400)

_WHEELS, _WHEEL_BYTES = "wheels", "wheel-bytes"
_ENDED, _MILLISECONDS = "ended", "milliseconds"
_TOOK = [f"took-{bound}" for bound in (*BOUNDS_S, "more")]
_TALLY = Tally(
    text(
        """INSERT INTO totals (name, platform, what, value) VALUES (:name, :platform, :what, :builds)
        ON CONFLICT (name, platform, what) DO UPDATE SET value = totals.value + excluded.value"""
    ),
    ("name", "platform", "what"),
)


@dataclass(slots=True, kw_only=True)
class Durations:
    """How long attempts took. within: so many ended within each of ``BOUNDS_S``, the last: in whatever time."""

    within: list[int] = field(default_factory=lambda: [0] * len(_TOOK))
    sum_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Totals:
    """Of the whole life of the farm.

    wheels, wheel_bytes: in the index now
    ended: (platform, ``built`` or a class of failures) → attempts
    durations: (platform, ``built`` or ``failed``); attempts that were lost or cancelled tell nothing of a build
    """

    wheels: int = 0
    wheel_bytes: int = 0
    ended: dict[tuple[str, str], int] = field(default_factory=dict)
    durations: Mapping[tuple[str, str], Durations] = field(default_factory=dict)


def note(session: Session, platform: str, *, outcome: AttemptOutcome, what: str, seconds: float) -> None:
    """An attempt has ended. what: ``built`` or a class of failures; seconds: as its node says, so maybe nonsense."""
    _TALLY.note(session, (_ENDED, platform, what), 1)
    if outcome in {AttemptOutcome.BUILT, AttemptOutcome.FAILED}:
        seconds = min(max(seconds, 0.0), 10.0 * BOUNDS_S[-1])
        _TALLY.note(session, (_TOOK[bisect_left(BOUNDS_S, seconds)], platform, str(outcome)), 1)
        _TALLY.note(session, (_MILLISECONDS, platform, str(outcome)), round(1000 * seconds))


def read(session: Session) -> Totals:
    """As many rows as there are platforms and classes of failures, times a few."""
    found = Totals()
    groups: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(_TOOK))
    sums: dict[tuple[str, str], float] = {}
    for row in session.scalars(select(Total).order_by(Total.platform, Total.what)):
        place = row.platform, row.what
        if row.name == _WHEELS:
            found.wheels = row.value
        elif row.name == _WHEEL_BYTES:
            found.wheel_bytes = row.value
        elif row.name == _ENDED:
            found.ended[place] = row.value
        elif row.name == _MILLISECONDS:
            sums[place] = row.value / 1000
        else:
            groups[place][_TOOK.index(row.name)] = row.value
    found.durations = {
        place: Durations(within=list(accumulate(group)), sum_s=sums.get(place, 0.0)) for place, group in groups.items()
    }
    return found


def recount(session: Session) -> dict[str, int]:
    """Count every wheel once, correct what is kept, and return the corrections by name.

    One statement sees wheels and totals at the same moment. What attempts came to nobody can count again.
    """
    _TALLY.write(session)
    here = Wheel.removed_at.is_(None)
    real = {
        _WHEELS: select(func.count()).select_from(Wheel).where(here),
        _WHEEL_BYTES: select(func.coalesce(func.sum(Wheel.size_bytes), 0)).where(here),
    }
    kept = {name: select(Total.value).where(Total.name == name) for name in real}
    missing = [real[name].scalar_subquery() - func.coalesce(kept[name].scalar_subquery(), 0) for name in real]
    wrong = {
        name: int(value) for name, value in zip(real, session.execute(select(*missing)).one(), strict=True) if value
    }
    for name, value in wrong.items():
        _TALLY.note(session, (name, "", ""), value)
    return wrong


def _count(wheel: Wheel, sign: int) -> None:
    session = object_session(wheel)
    assert session is not None  # noqa: S101 - for mypy: it is just being written by one
    _TALLY.note(session, (_WHEELS, "", ""), sign)
    _TALLY.note(session, (_WHEEL_BYTES, "", ""), sign * wheel.size_bytes)


@event.listens_for(Wheel, "after_insert")
def _added(_mapper: Mapper[Any], _connection: Connection, wheel: Wheel) -> None:
    if wheel.removed_at is None:
        _count(wheel, 1)


@event.listens_for(Wheel, "after_update")
def _changed(_mapper: Mapper[Any], _connection: Connection, wheel: Wheel) -> None:
    """A wheel that left the index, or came back to it."""
    removed = inspect(wheel).attrs.removed_at.history
    before = next(iter(removed.deleted or ()), None)
    if removed.has_changes() and (before is None) != (wheel.removed_at is None):
        _count(wheel, 1 if wheel.removed_at is None else -1)
