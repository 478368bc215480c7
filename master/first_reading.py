"""Pages that are read for the first time: their files go in by bulk statements, with nothing to compare (G11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, update
from sqlalchemy.orm import Session

from schema.db import bulk
from schema.db.models import Project, UpstreamFile
from schema.simple.read import Entry, Listed, Page

_FILES: Table = UpstreamFile.__table__  # type: ignore[assignment]
_COLUMNS = ("project_id", "seen_at", *Entry._fields)
_PROJECTS: Table = Project.__table__  # type: ignore[assignment]

_READ = (
    update(_PROJECTS)
    .where(_PROJECTS.c.id == bindparam("of"))
    .values(
        {
            name: bindparam(f"new_{name}", type_=_PROJECTS.c[name].type)
            for name in ("status", "status_reason", "etag", "last_modified", "serial", "checked_at", "check_at")
        }
        | {"errors": 0, "error": "", "undecided": True}
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The first page of a project; check_at: when to look again."""

    project: Project
    page: Page
    check_at: datetime


def take(session: Session, readings: Sequence[Reading], now: datetime) -> None:
    """Take pages of projects of which nothing is known; raise IntegrityError if something is."""
    if not readings:
        return
    connection = session.connection()
    files = ((item.project.id, now, *file) for item in readings for file in _files(item.page))
    bulk.insert(connection, _FILES, _COLUMNS, files)
    connection.execute(_READ, [_read(item, now) for item in readings])
    for item in readings:
        session.expire(item.project)


def _files(page: Page) -> Sequence[Listed]:
    return () if page.status == "quarantined" else page.files


def _read(item: Reading, now: datetime) -> dict[str, Any]:
    page, project = item.page, item.project
    return {
        "of": project.id,
        "new_status": page.status,
        "new_status_reason": page.status_reason,
        "new_etag": page.etag,
        "new_last_modified": page.last_modified,
        "new_serial": max(project.serial, page.serial, project.event_serial),
        "new_checked_at": now,
        "new_check_at": item.check_at,
    }
