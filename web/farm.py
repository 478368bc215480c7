"""How the farm itself does: alarms, how far its long walks have come, who leads, what people had it do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db import audit, health
from schema.db.health import Feed, Leader, Walk
from schema.db.models import Alarm, AuditEntry, Demand

PAGE = 50
_ENDED_ALARMS = 10
_ASKED = 20
_DOINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmPage:
    """What stands on the page; counts: platform → state → builds, the states in the order of a build's life."""

    open_alarms: Sequence[Alarm]
    ended_alarms: Sequence[Alarm]
    walks: Sequence[Walk]
    feed: Feed | None
    leader: Leader | None
    counts: Mapping[str, Mapping[str, int]]
    asked: Sequence[Demand]
    audit: Sequence[AuditEntry]


def farm_page(session: Session) -> FarmPage:
    """Everything that the page shows, in a few queries that do not grow with the farm."""
    ended = select(Alarm).where(Alarm.ended_at.is_not(None)).order_by(Alarm.id.desc()).limit(_ENDED_ALARMS)
    return FarmPage(
        open_alarms=health.open_alarms(session),
        ended_alarms=session.scalars(ended).all(),
        walks=health.walks(session),
        feed=health.feed(session),
        leader=health.leader(session),
        counts=health.by_platform(session),
        asked=session.scalars(select(Demand).order_by(Demand.asks.desc(), Demand.name).limit(_ASKED)).all(),
        audit=audit.entries(session, limit=_DOINGS),
    )
