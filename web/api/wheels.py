"""Published files, and what is in one."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from flask import abort

from schema.printable import printable
from web.api.asked import Limit, NameCursor, Text, paged
from web.api.endpoints import Page, get
from web.api.shapes import RepeatRow, WheelRow
from web.pages.asked import database
from web.wheels import served, wheel_page


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelsAsked:
    """project: only of this one, by name. order: by file name, or the newest first."""

    project: Text = ""
    order: Literal["name", "newest"] = "name"
    cursor: NameCursor = ""
    limit: Limit = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelDetail:
    """A wheel with its anatomy, as wheelfarm anatomy --json says it; None where it was not examined.

    runtime_packages: Debian packages that it needs where it is used → the version that it was built with, or ""
    repeat: that its build was, or is, built twice
    """

    wheel: WheelRow
    anatomy: dict[str, Any] | None
    runtime_packages: dict[str, str]
    repeat: RepeatRow | None


@get("/wheels")
def wheels(query: WheelsAsked) -> Page[WheelRow]:
    """Wheels that are served, of all projects or of one."""
    with database().reading() as session:
        found = served(
            session,
            limit=query.limit + 1,
            project=query.project,
            newest_first=query.order == "newest",
            after=query.cursor,
        )
    return paged(found, query.limit, WheelRow.of, lambda row: row.filename)


@get("/wheels/<filename>")
def wheel(filename: str) -> WheelDetail:
    """A wheel, and what is in it."""
    with database().reading() as session:
        page = wheel_page(session, filename)
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return WheelDetail(
        wheel=WheelRow.of(page.wheel),
        anatomy=dict(page.found) if page.found is not None else None,
        runtime_packages={printable(name): printable(version) for name, version in page.runtime_packages},
        repeat=RepeatRow.of(page.repeat) if page.repeat else None,
    )
