"""The farm as a whole: alarms, its long walks and its upstream, what clients ask for in vain, what people did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from schema.db import audit as trail
from schema.db.health import Feed, Leader, Walk
from schema.db.models import Alarm, AuditEntry, Demand
from schema.printable import one_line, printable
from web.api.asked import Limit, NumberCursor, Numbered, Text, paged
from web.api.endpoints import Page, get
from web.api.shapes import an_object
from web.farm import farm_page
from web.pages.asked import database


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderRow:
    """The master that leads, or led last. leads: whether its lease, which ends at *until*, holds."""

    holder: str
    until: datetime
    leads: bool

    @classmethod
    def of(cls, found: Leader) -> LeaderRow:
        """As the page shows it."""
        return cls(holder=one_line(found.holder), until=found.until, leads=found.leads)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRow:
    """How the farm follows its upstream. serial: up to which all news were taken, 0: none; due: pages to read now."""

    followed: str
    note: str
    serial: int
    asked_at: datetime
    news_at: datetime | None
    due: int

    @classmethod
    def of(cls, found: Feed) -> FeedRow:
        """As the page shows it."""
        same = ("serial", "asked_at", "news_at", "due")
        followed, note = one_line(found.followed), one_line(found.note)
        return cls(followed=followed, note=note, **{name: getattr(found, name) for name in same})


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkRow:
    """A long walk in the background. total: 0 where nobody knows; share: in percent, None where none is under way."""

    name: str
    title: str
    note: str
    done: int
    total: int
    changed_at: datetime
    share: int | None

    @classmethod
    def of(cls, found: Walk) -> WalkRow:
        """As the page shows it."""
        same = ("title", "note", "done", "total", "changed_at", "share")
        return cls(name=printable(found.name), **{name: getattr(found, name) for name in same})


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandRow:
    """What clients asked the index *view* for and did not find."""

    name: str
    view: str
    asks: int
    asked_at: datetime

    @classmethod
    def of(cls, row: Demand) -> DemandRow:
        """From the row."""
        return cls(name=printable(row.name), view=row.view, asks=row.asks, asked_at=row.asked_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Farm:
    """What it does by itself. leader: None where no master ever led; feed: None where upstream was never asked.

    asked: what clients asked for most often and did not find
    """

    leader: LeaderRow | None
    feed: FeedRow | None
    walks: list[WalkRow]
    asked: list[DemandRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow:
    """Something that a person should look at; ended_at: None while it is so."""

    name: str
    text: str
    raised_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: Alarm) -> AlarmRow:
        """From the row."""
        return cls(name=row.name, text=printable(row.text), raised_at=row.raised_at, ended_at=row.ended_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """What a person had the farm do. before, after: of what changed."""

    id: int
    at: datetime
    who: str
    action: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str

    @classmethod
    def of(cls, row: AuditEntry) -> AuditRow:
        """From the row."""
        return cls(
            id=row.id,
            at=row.at,
            who=printable(row.who),
            action=row.action,
            subject=printable(row.subject),
            before=an_object(row.before),
            after=an_object(row.after),
            reason=printable(row.reason),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditAsked:
    """subject: only of this one, such as ``build 12``."""

    subject: Text = ""
    cursor: NumberCursor = 0
    limit: Limit = 50


@get("/farm")
def farm() -> Farm:
    """Who leads, how upstream is followed, how far long walks have come, what clients ask for in vain."""
    with database().reading() as session:
        page = farm_page(session)
    return Farm(
        leader=LeaderRow.of(page.leader) if page.leader else None,
        feed=FeedRow.of(page.feed) if page.feed else None,
        walks=[WalkRow.of(item) for item in page.walks],
        asked=[DemandRow.of(item) for item in page.asked],
    )


@get("/alarms")
def alarms(query: Numbered) -> Page[AlarmRow]:
    """What was raised, the newest first."""
    wanted = select(Alarm).order_by(Alarm.id.desc()).limit(query.limit + 1)
    with database().reading() as session:
        found = session.scalars(wanted.where(Alarm.id < query.cursor) if query.cursor else wanted).all()
    return paged(found, query.limit, AlarmRow.of, lambda row: row.id)


@get("/audit")
def audit(query: AuditAsked) -> Page[AuditRow]:
    """What people had the farm do, the newest first."""
    with database().reading() as session:
        found = trail.entries(session, limit=query.limit + 1, subject=query.subject, before=query.cursor)
    return paged(found, query.limit, AuditRow.of, lambda row: row.id)
