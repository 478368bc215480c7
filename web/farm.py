"""How the farm itself does: alarms, how far its long walks have come, who leads, what people had it do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db import audit
from schema.db.models import Alarm, AuditEntry, BuildCount, Demand, Leadership, Mark
from schema.printable import one_line
from schema.states import BuildState

PAGE = 50
_ENDED_ALARMS = 10
_ASKED = 20
_MARKS = 40
_DOINGS = 5

# What the walks are, in a reader's words; those that are no walk of interest to people have no title.
_TITLES = {
    "feed": "News from upstream",
    "changelog": "Upstream's changelog",
    "changelog-unknown": "Events of an unknown kind",
    "reconcile": "Comparison with all of upstream",
    "backfill": "Planning again, after a change of settings",
    "abi": "Built against an older release",
    "scope": "What the farm wants by itself",
    "files": "Lists and lock files",
    "scrub": "Stored files compared with their digests",
    "gc": "Tidying up",
    "intake": "Giving out builds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A mark as readers see it; share: of the whole, in percent, None where none is under way or nobody knows."""

    title: str
    note: str
    done: int
    total: int
    changed_at: datetime
    share: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmPage:
    """What stands on the page; counts: platform → state → builds, the states in the order of a build's life."""

    open_alarms: Sequence[Alarm]
    ended_alarms: Sequence[Alarm]
    walks: Sequence[Walk]
    leader: Leadership | None
    counts: Mapping[str, Mapping[str, int]]
    asked: Sequence[Demand]
    audit: Sequence[AuditEntry]


def farm_page(session: Session) -> FarmPage:
    """Everything that the page shows, in a few queries that do not grow with the farm."""
    ended = select(Alarm).where(Alarm.ended_at.is_not(None)).order_by(Alarm.id.desc()).limit(_ENDED_ALARMS)
    return FarmPage(
        open_alarms=open_alarms(session),
        ended_alarms=session.scalars(ended).all(),
        walks=walks(session),
        leader=session.get(Leadership, 1),
        counts=_counts(session),
        asked=session.scalars(select(Demand).order_by(Demand.asks.desc(), Demand.name).limit(_ASKED)).all(),
        audit=audit.entries(session, limit=_DOINGS),
    )


def open_alarms(session: Session) -> Sequence[Alarm]:
    """What a person should look at now, the newest first."""
    wanted = select(Alarm).where(Alarm.ended_at.is_(None)).order_by(Alarm.id.desc()).limit(PAGE)
    return session.scalars(wanted).all()


def walks(session: Session) -> list[Walk]:
    """The marks that mean something to people, the latest change first."""
    marks = session.scalars(select(Mark).order_by(Mark.changed_at.desc()).limit(_MARKS)).all()
    return [_walk(mark) for mark in marks if _kind(mark) in _TITLES and (mark.note or mark.total or mark.done)]


def _kind(mark: Mark) -> str:
    """``abi`` for ``abi numpy debian12-x86_64-cp311``, of which there are several."""
    return mark.name.partition(" ")[0]


def _walk(mark: Mark) -> Walk:
    under_way = mark.total > 0 and (
        mark.finished_at is None or (mark.started_at or mark.finished_at) > mark.finished_at
    )
    return Walk(
        title=_TITLES[_kind(mark)],
        note=one_line(mark.note),
        done=mark.done,
        total=mark.total,
        changed_at=mark.changed_at,
        share=round(100 * min(mark.done / mark.total, 1)) if under_way else None,
    )


def _counts(session: Session) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    order = list(BuildState)
    rows = session.scalars(select(BuildCount).where(BuildCount.builds > 0).order_by(BuildCount.platform)).all()
    for row in sorted(rows, key=lambda row: (row.platform, order.index(BuildState(row.state)))):
        found.setdefault(row.platform, {})[row.state] = row.builds
    return found
