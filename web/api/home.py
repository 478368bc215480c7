"""What the first page shows: how the farm stands, what it did from day to day, and how installers use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Any

from flask import abort
from msgspec import Meta
from sqlalchemy import select

from schema.db import counts, hours, repeats
from schema.db.health import leader
from schema.db.models import Alarm
from schema.db.session import now
from schema.errors import NotANameError
from schema.names import project_name
from web import install, queue
from web.api.asked import Text
from web.api.endpoints import Page, get
from web.pages.asked import base, database, settings
from web.people.guard import asking
from web.wheels import served

_MOST_ALARMS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """builds: platform → state → how many; leader: the master that leads, None while there is none.

    ended: attempts of the last 24 hours, ``built`` or a class of failures → how many
    empty_in_s: until nothing is left to do, at that rate; None where nobody can tell
    repeats: verdict → builds that were built twice
    """

    at: datetime
    builds: dict[str, dict[str, int]]
    ended: dict[str, int]
    empty_in_s: float | None
    last_published_at: datetime | None
    repeats: dict[str, int]
    open_alarms: int
    leader: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysAsked:
    """days: so many, today included."""

    days: Annotated[int, Meta(ge=1, le=hours.KEPT.days)] = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """A day (UTC). ended: ``built`` or a class of failures → attempts; open: left to do at its end, None: not known."""

    day: date
    ended: dict[str, int]
    open: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewsAsked:
    """name: of the project that the lines install."""

    name: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayRow:
    """What makes an installer use a view. text: to type, or to write into *file* ("" for the command line)."""

    key: str
    title: str
    file: str
    text: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRow:
    """A part of the index. name: ``debian12-aarch64``, "" for portable wheels only; index: its address."""

    name: str
    title: str
    platforms: list[str]
    index: str
    ways: list[WayRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who asks; "" where nobody knows. scopes: of the token; none for a session, which needs none."""

    name: str
    role: str
    scopes: list[str]


@get("/status")
def status() -> Status:
    """How the farm stands."""
    with database().reading() as session:
        builds: dict[str, dict[str, int]] = {}
        for (platform, state), many in counts.counts(session).items():
            builds.setdefault(platform, {})[state] = many
        raised = session.scalars(select(Alarm.id).where(Alarm.ended_at.is_(None)).limit(_MOST_ALARMS)).all()
        found, published = leader(session), served(session, limit=1, newest_first=True)
        return Status(
            at=now(session),
            builds=builds,
            ended=_counts(hours.since(session)),
            empty_in_s=queue.empty_in_s(queue.lanes(session)),
            last_published_at=published[0].published_at if published else None,
            repeats=repeats.figures(session),
            open_alarms=len(raised),
            leader=found.holder if found and found.leads else None,
        )


@get("/days")
def days(query: DaysAsked) -> Page[DayRow]:
    """What ended on each day, and what was left to do; the first one first."""
    with database().reading() as session:
        found = hours.days(session, most=query.days)
    return Page(items=[DayRow(day=item.day, ended=_counts(item.ended), open=item.open) for item in found])


@get("/views")
def views(query: ViewsAsked) -> Page[ViewRow]:
    """The parts of the index, and the lines that make an installer use each."""
    try:
        name: str = project_name(query.name) if query.name else "NAME"
    except NotANameError:
        abort(HTTPStatus.NOT_FOUND)
    return Page(items=[_view(view, name) for view in install.views(settings().farm.platforms)])


@get("/me")
def me() -> Me:
    """Who you are here."""
    person = asking()
    if person is None:
        return Me(name="", role="", scopes=[])
    return Me(name=person.name, role=str(person.role), scopes=sorted(map(str, person.scopes or ())))


def _view(view: install.View, name: str) -> ViewRow:
    ways = [
        WayRow(key=way.key, title=way.title, file=way.file, text=way.text, note=way.note)
        for way in install.ways(base(), view, name=name)
    ]
    return ViewRow(
        name=view.name,
        title=view.title,
        platforms=[str(platform) for platform in view.platforms],
        index=install.index(base(), view),
        ways=ways,
    )


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    return {str(what): int(many) for what, many in sorted(found.items())}
