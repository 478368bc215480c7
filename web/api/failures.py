"""What to mend first: failed builds by their cause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import abort

from schema.printable import printable
from web.api.asked import Cursor, Number, NumberCursor, Text, cursor
from web.api.endpoints import Page, get
from web.api.shapes import BuildRow, TryRow
from web.failures import Ranked, cluster_page, ranking
from web.pages.asked import database, rules


@dataclass(frozen=True, slots=True, kw_only=True)
class FailuresAsked:
    """failure_class: only of this one, such as ``header``."""

    failure_class: Text = ""
    cursor: NumberCursor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """Builds that failed of one cause. downloads: of the projects that have no wheel for it; sample: a build of them.

    actions: what mended it in other builds: the recipe of an order ``try-recipe``; empty where nobody knows
    """

    id: int
    title: str
    failure_class: str
    builds: int
    projects: int
    downloads: int
    platforms: dict[str, int]
    actor: str
    advice: str
    sample: int | None
    actions: dict[str, Any]

    @classmethod
    def of(cls, ranked: Ranked) -> FailureRow:
        """As the pages show it."""
        cluster = ranked.cluster
        return cls(
            id=cluster.id,
            title=printable(ranked.title),
            failure_class=cluster.failure_class,
            builds=cluster.builds,
            projects=cluster.projects,
            downloads=cluster.downloads,
            platforms=dict(ranked.platforms),
            actor=str(ranked.actor),
            advice=ranked.advice,
            sample=ranked.sample.id if ranked.sample else None,
            actions=ranked.actions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetail:
    """A cause with a page of its builds. evidence, line: of the sample's log, which say why; tries: of its node.

    cured: so many builds were mended by *actions*, the last one at *cured_at*
    question: the command that tells which Debian package has what is missing, or ""
    recipe: a rule that may help, as TOML, or ""
    """

    failure: FailureRow
    evidence: str
    line: int | None
    tries: list[TryRow]
    cured: int
    cured_at: datetime | None
    question: str
    recipe: str
    builds: Page[BuildRow]


@get("/failures")
def failures(query: FailuresAsked) -> Page[FailureRow]:
    """Causes, those that keep most downloads from a wheel first."""
    with database().reading() as session:
        found, after = ranking(session, failure_class=query.failure_class, after=query.cursor)
    return Page(items=[FailureRow.of(item) for item in found], next=cursor(after))


@get("/failures/<int(max=2147483647):failure>")
def failure(failure: Number, query: Cursor) -> FailureDetail:
    """One cause, and the builds that failed of it."""
    with database().reading() as session:
        page = cluster_page(session, failure, before=query.cursor, rules=rules())
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    cure = page.ranked.cure
    return FailureDetail(
        failure=FailureRow.of(page.ranked),
        evidence=printable(page.evidence),
        line=page.line,
        tries=[TryRow.of(item) for item in page.tries],
        cured=cure.builds if cure else 0,
        cured_at=cure.cured_at if cure else None,
        question=printable(page.ranked.question),
        recipe=printable(page.ranked.recipe),
        builds=Page(items=[BuildRow.of(item) for item in page.builds], next=cursor(page.before)),
    )
