"""Projects: by name, and one with its versions, platforms and downloads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Literal

from flask import abort
from msgspec import Meta
from packaging.utils import NormalizedName
from sqlalchemy import select

from schema.db import downloads as counted
from schema.db.models import Project, Request
from schema.db.session import now
from schema.errors import NotANameError
from schema.names import project_name
from schema.printable import printable
from web import queries
from web.api.asked import NameCursor, Text
from web.api.endpoints import Page, get
from web.matrix import ROWS, Cell, HeldBack, Need, ProjectPage, Row, project_page
from web.pages.asked import database, rules, settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectsAsked:
    """text: what the normalised name contains."""

    text: Text = ""
    cursor: NameCursor = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRow:
    """A project that somebody asked for. status: PEP 792's, or missing; wheels: those that are served."""

    name: str
    title: str
    status: str
    wheels: int
    downloads: int

    @classmethod
    def of(cls, row: Project, wheels: int) -> ProjectRow:
        """From the row."""
        title = printable(row.title)
        return cls(name=row.name, title=title, status=row.status, wheels=wheels, downloads=row.downloads)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAsked:
    """versions: the newest ones, or all of them."""

    versions: Literal["newest", "all"] = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRow:
    """One version on one platform. state: "" where nobody asked; wheel: the file that serves it, or None."""

    platform: str
    state: str
    sentence: str
    build: int | None
    wheel: str | None

    @classmethod
    def of(cls, cell: Cell) -> CellRow:
        """As the page shows it."""
        return cls(
            platform=cell.platform,
            state=cell.state,
            sentence=cell.answer.sentence if cell.answer else "",
            build=cell.answer.build_id if cell.answer else None,
            wheel=cell.wheel.filename if cell.wheel else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version. yanked: upstream's reason, or None."""

    version: str
    yanked: str | None
    platforms: list[CellRow]

    @classmethod
    def of(cls, row: Row) -> VersionRow:
        """As the page shows it."""
        yanked = row.yanked and printable(row.yanked)
        return cls(version=row.version, yanked=yanked, platforms=[CellRow.of(cell) for cell in row.cells])


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBackRow:
    """On *platform* the newest version with a wheel is *usable*, although *wanted* is newer."""

    platform: str
    usable: str
    wanted: str

    @classmethod
    def of(cls, item: HeldBack) -> HeldBackRow:
        """As the page shows it."""
        return cls(platform=item.platform, usable=item.usable, wanted=item.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedRow:
    """A requirement of the newest wheel. name: normalised, "" if the text is no requirement."""

    text: str
    name: str

    @classmethod
    def of(cls, item: Need) -> NeedRow:
        """As the page shows it."""
        return cls(text=printable(item.text), name=item.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class WishRow:
    """Somebody asked for it. specifier: "" for any version; platform: "" for all; problem: why no version fits, or "".

    origin: person, list, demand, scope or dependency; because: such as ``paramiko 4.0.0 needs it``
    policy: ``always``: built even where upstream has a wheel
    """

    specifier: str
    extras: str
    platform: str
    origin: str
    because: str
    policy: str
    created_at: datetime
    problem: str

    @classmethod
    def of(cls, row: Request) -> WishRow:
        """From the row."""
        same = ("specifier", "extras", "platform", "origin", "policy", "created_at")
        told = {name: getattr(row, name) for name in same}
        return cls(because=printable(row.because), problem=printable(row.problem), **told)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectDetail:
    """A project. versions: the newest ones; hidden: how many older ones are left out; notes: about all of it.

    wheels: those that are served; requires_python, needs: of the newest of them
    dependents: projects of the farm that need it; unasked: versions that upstream has and nobody asked for
    """

    name: str
    title: str
    status: str
    status_reason: str
    wheels: int
    requires_python: str
    downloads: int
    dependents: int
    checked_at: datetime | None
    platforms: list[str]
    versions: list[VersionRow]
    hidden: int
    notes: list[str]
    held_back: list[HeldBackRow]
    needs: list[NeedRow]
    wishes: list[WishRow]
    unasked: list[str]

    @classmethod
    def of(cls, page: ProjectPage) -> ProjectDetail:
        """As the page shows it."""
        project = page.project
        same = ("name", "status", "downloads", "dependents", "checked_at")
        return cls(
            title=printable(project.title),
            status_reason=printable(project.status_reason),
            wheels=page.files,
            requires_python=printable(page.requires_python),
            platforms=list(page.platforms),
            versions=[VersionRow.of(row) for row in page.rows],
            hidden=page.hidden,
            notes=[item.sentence for item in page.notes],
            held_back=[HeldBackRow.of(item) for item in page.held_back],
            needs=[NeedRow.of(item) for item in page.needs],
            wishes=[WishRow.of(row) for row in page.wishes],
            unasked=list(page.unasked),
            **{name: getattr(project, name) for name in same},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadsAsked:
    """days: so many, today included."""

    days: Annotated[int, Meta(ge=1, le=90)] = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadsRow:
    """How often wheels of the project were fetched from this farm on a day (UTC)."""

    day: date
    count: int


@get("/projects")
def projects(query: ProjectsAsked) -> Page[ProjectRow]:
    """Projects by name."""
    with database().reading() as session:
        found = queries.search(session, query.text, after=query.cursor)
    rows = [ProjectRow.of(item, found.counts.get(item.id, 0)) for item in found.projects]
    return Page(items=rows, next=found.more)


@get("/projects/<name>")
def project(name: str, query: ProjectAsked) -> ProjectDetail:
    """Which version is there on which platform, and why the others are not."""
    normalised, farm = _normalised(name), settings()
    limit = ROWS if query.versions == "newest" else 0
    with database().reading() as session:
        page = project_page(
            session, normalised, farm=farm.farm.platforms, files=farm.site / "files", rules=rules(), limit=limit
        )
    return ProjectDetail.of(page) if page is not None else abort(HTTPStatus.NOT_FOUND)


@get("/projects/<name>/downloads")
def downloads(name: str, query: DownloadsAsked) -> Page[DownloadsRow]:
    """How often its wheels were fetched on each day, the first one first."""
    normalised = _normalised(name)
    with database().reading() as session:
        if session.scalar(select(Project.id).where(Project.name == normalised)) is None:
            abort(HTTPStatus.NOT_FOUND)
        today = now(session).date()
        found = counted.days(session, normalised, since=today - timedelta(days=query.days - 1), until=today)
    return Page(items=[DownloadsRow(day=day, count=count) for day, count in found.items()])


def _normalised(name: str) -> NormalizedName:
    try:
        return project_name(name)
    except NotANameError:
        abort(HTTPStatus.NOT_FOUND)
