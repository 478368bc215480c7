"""A day of events in a full catalogue (G11): taken from the changelog, then the pages that they speak of.

Besides, the rate of taking events is measured against a bare upsert of as many rows. Both take turns, a thousand at
once, so that a noisy moment of the machine meets both; the dice say who is first, for SQLite writes its log back every
so many pages, which would else meet the same one each time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from packaging.utils import NormalizedName
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from bench.catalogue import Catalogue
from master import watch
from master.batches import batches
from master.feed.choose import Follower
from master.feed.news import Event
from master.feed.take import take
from master.upstream import Upstream
from schema.db.models import Project
from schema.db.session import insert, now, transaction
from schema.settings import Settings

_AT_ONCE = 1000
_LATER = 10**9  # above every serial of the catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What it took.

    ours, bare: events a second; follow_s: for the day's changelog; pages, pages_s: of the looks that followed
    """

    ours: float
    bare: float
    follow_s: float
    pages: int
    pages_s: float

    @property
    def ratio(self) -> float:
        """The share of the bare upsert's rate that ours reaches."""
        return self.ours / self.bare


def measure(
    database: Engine,
    settings: Settings,
    upstream: Upstream,
    catalogue: Catalogue,
    *,
    events: int,
) -> Figures:
    """Take the day of so many *events* that the upstream tells of, then raise serials in both ways.

    catalogue: what the upstream offers
    """
    follower = Follower(database, upstream, settings.watch)
    began = time.perf_counter()
    follower.turn()
    followed = time.perf_counter()
    pages = 0
    while looked := watch.look_at_due(database, upstream, poll_s=1e9):
        pages += looked
    pages_s = time.perf_counter() - followed
    ours, bare = _in_turns(database, catalogue, events)
    return Figures(ours=events / ours, bare=events / bare, follow_s=followed - began, pages=pages, pages_s=pages_s)


def _in_turns(database: Engine, catalogue: Catalogue, events: int) -> tuple[float, float]:
    dice, ours, bare = random.Random(7), 0.0, 0.0
    serials = iter(range(_LATER, _LATER + 2 * events))
    names = [[catalogue.name(dice.randrange(catalogue.projects)) for _ in range(events)] for _ in range(2)]
    for mine, theirs in zip(*(batches(half, _AT_ONCE) for half in names), strict=True):
        first = [Event(NormalizedName(name), next(serials)) for name in mine]
        second = [Event(NormalizedName(name), next(serials)) for name in theirs]
        if dice.random() < 0.5:  # noqa: PLR2004 - heads or tails
            ours += _seconds(database, _take, first)
            bare += _seconds(database, _upsert, second)
        else:
            bare += _seconds(database, _upsert, second)
            ours += _seconds(database, _take, first)
    return ours, bare


def _seconds(database: Engine, doing: Callable[[Session, Sequence[Event]], None], events: Sequence[Event]) -> float:
    began = time.perf_counter()
    with transaction(database) as session:
        doing(session, events)
    return time.perf_counter() - began


def _take(session: Session, events: Sequence[Event]) -> None:
    take(session, events, now=now(session))


def _upsert(session: Session, events: Sequence[Event]) -> None:
    moment = now(session)
    new = insert(session, Project.__table__)
    upsert = new.on_conflict_do_update(
        index_elements=["name"], set_={"event_serial": new.excluded.event_serial, "check_at": new.excluded.check_at}
    )
    rows = [
        {"name": event.name, "title": event.name, "event_serial": event.serial, "check_at": moment, "status": "active"}
        for event in events
    ]
    session.connection().execute(upsert, rows)
