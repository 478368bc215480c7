"""Projects and their wheels."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import abort
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from schema.db.models import Project, Wheel
from schema.errors import NotANameError
from schema.names import project_name
from schema.printable import printable
from web import queries
from web.api.asked import Limit, NameCursor, Text, paged
from web.api.endpoints import Page, get
from web.api.shapes import ProjectRow, WheelRow
from web.matrix import ROWS, project_page
from web.pages.asked import database, rules, settings
from web.wheels import wheel_page


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectsAsked:
    """text: what the normalised name contains."""

    text: Text = ""
    cursor: NameCursor = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRow:
    """One version on one platform. state: "" where nobody asked; wheel: the file that serves it, or None."""

    platform: str
    state: str
    sentence: str
    build: int | None
    wheel: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version. yanked: upstream's reason, or None."""

    version: str
    yanked: str | None
    platforms: list[CellRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectDetail:
    """A project. versions: the newest ones; hidden: how many older ones are left out; notes: about all of it."""

    name: str
    title: str
    status: str
    downloads: int
    platforms: list[str]
    versions: list[VersionRow]
    hidden: int
    notes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelsAsked:
    """project: only of this one."""

    project: Text = ""
    cursor: NameCursor = ""
    limit: Limit = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelDetail:
    """A wheel with its anatomy, as wheelfarm anatomy --json says it; None where it was not examined."""

    wheel: WheelRow
    anatomy: dict[str, Any] | None


@get("/projects")
def projects(query: ProjectsAsked) -> Page[ProjectRow]:
    """Projects by name."""
    with database().reading() as session:
        found = queries.search(session, query.text, after=query.cursor)
    rows = [ProjectRow.of(item, found.counts.get(item.id, 0)) for item in found.projects]
    return Page(items=rows, next=found.more)


@get("/projects/<name>")
def project(name: str) -> ProjectDetail:
    """Which version is there on which platform, and why the others are not."""
    try:
        normalised = project_name(name)
    except NotANameError:
        abort(HTTPStatus.NOT_FOUND)
    with database().reading() as session:
        page = project_page(
            session,
            normalised,
            farm=settings().farm.platforms,
            files=settings().site / "files",
            rules=rules(),
            limit=ROWS,
        )
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return ProjectDetail(
        name=page.project.name,
        title=printable(page.project.title),
        status=page.project.status,
        downloads=page.project.downloads,
        platforms=list(page.platforms),
        versions=[
            VersionRow(
                version=row.version,
                yanked=row.yanked and printable(row.yanked),
                platforms=[
                    CellRow(
                        platform=cell.platform,
                        state=cell.state,
                        sentence=cell.answer.sentence if cell.answer else "",
                        build=cell.answer.build_id if cell.answer else None,
                        wheel=cell.wheel.filename if cell.wheel else None,
                    )
                    for cell in row.cells
                ],
            )
            for row in page.rows
        ],
        hidden=page.hidden,
        notes=[item.sentence for item in page.notes],
    )


@get("/wheels")
def wheels(query: WheelsAsked) -> Page[WheelRow]:
    """Wheels by file name, of all projects or of one."""
    wanted = select(Wheel).options(joinedload(Wheel.project)).where(Wheel.removed_at.is_(None))
    if query.project:
        wanted = wanted.join(Wheel.project).where(Project.name == query.project)
    if query.cursor:
        wanted = wanted.where(Wheel.filename > query.cursor)
    with database().reading() as session:
        found = session.scalars(wanted.order_by(Wheel.filename).limit(query.limit + 1)).all()
    return paged(found, query.limit, WheelRow.of, lambda row: row.filename)


@get("/wheels/<filename>")
def wheel(filename: str) -> WheelDetail:
    """A wheel, and what is in it."""
    with database().reading() as session:
        page = wheel_page(session, filename)
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return WheelDetail(wheel=WheelRow.of(page.wheel), anatomy=dict(page.found) if page.found is not None else None)
