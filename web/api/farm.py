"""The farm as a whole: how it stands, alarms, what people did, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from schema.db import audit as trail
from schema.db import counts
from schema.db.health import leader
from schema.db.models import Alarm
from schema.db.session import now
from web.api.asked import Limit, NumberCursor, Numbered, Text, paged
from web.api.endpoints import Page, get
from web.api.shapes import AlarmRow, AuditRow
from web.pages.asked import database
from web.people.guard import asking


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """builds: platform → state → how many; leader: the master that leads, None while there is none."""

    at: datetime
    builds: dict[str, dict[str, int]]
    open_alarms: int
    leader: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who asks; "" where nobody knows. scopes: of the token; none for a session, which needs none."""

    name: str
    role: str
    scopes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditAsked:
    """subject: only of this one, such as ``build 12``."""

    subject: Text = ""
    cursor: NumberCursor = 0
    limit: Limit = 50


@get("/status")
def status() -> Status:
    """How the farm stands."""
    with database().reading() as session:
        builds: dict[str, dict[str, int]] = {}
        for (platform, state), many in counts.counts(session).items():
            builds.setdefault(platform, {})[state] = many
        raised = session.scalars(select(Alarm.id).where(Alarm.ended_at.is_(None)).limit(1000)).all()
        found = leader(session)
        return Status(at=now(session), builds=builds, open_alarms=len(raised), leader=found.holder if found else None)


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


@get("/me")
def me() -> Me:
    """Who you are here."""
    person = asking()
    if person is None:
        return Me(name="", role="", scopes=[])
    return Me(name=person.name, role=str(person.role), scopes=sorted(map(str, person.scopes or ())))
