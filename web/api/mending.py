"""What to mend and what comes next: failures by their cause, the queue, platforms, the rules of recipes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import abort

from schema.db.rules import RuleRow
from schema.printable import printable
from web import knowledge
from web.api.asked import NameCursor, Number, NumberCursor, Text
from web.api.endpoints import Page, get
from web.api.shapes import BuildRow
from web.failures import Ranked, cluster_page, ranking
from web.pages.asked import database, rules, settings
from web.platforms import platforms_page
from web.queue import queue_page


@dataclass(frozen=True, slots=True, kw_only=True)
class FailuresAsked:
    """failure_class: only of this one, such as ``header``."""

    failure_class: Text = ""
    cursor: NumberCursor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """cursor: of the page before, 0 for the first."""

    cursor: NumberCursor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueAsked:
    """platform: whose queue; the longest one without. cursor: of the page before, 0 for the first."""

    platform: Text = ""
    cursor: NumberCursor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipesAsked:
    """cursor: of the page before."""

    cursor: NameCursor = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """Builds that failed of one cause. downloads: of the projects that have no wheel for it; sample: a build of them.

    actions: what mended it in other builds: the recipe of an order ``try-recipe``; empty where nobody knows
    """

    id: int
    title: str
    failure_class: str
    builds: int
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
            downloads=cluster.downloads,
            platforms=dict(ranked.platforms),
            actor=str(ranked.actor),
            advice=ranked.advice,
            sample=ranked.sample.id if ranked.sample else None,
            actions=ranked.actions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetail:
    """A cause with a page of its builds. evidence: the line of the sample's log that says why."""

    failure: FailureRow
    evidence: str
    builds: Page[BuildRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRow:
    """A build that waits for a node. because: the terms of its score, those that weigh most first: name → points."""

    build: int
    project: str
    version: str
    score: float
    because: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """The queue of one platform. rate: attempts that end in an hour; empty_in_s: None where nobody can tell."""

    platform: str
    queued: int
    waiting: int
    running: int
    rate: float
    empty_in_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """lanes: of every platform; builds: what waits on *platform*, the next one first."""

    platform: str
    lanes: list[LaneRow]
    builds: Page[QueuedRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformRow:
    """What the farm builds for. wanted: by its settings; lacks: what keeps it from being built for, or ""."""

    name: str
    wanted: bool
    nodes: list[str]
    builds: dict[str, int]
    rate: float
    lacks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRow:
    """A rule of a recipe. uses, successes: attempts that ended with it, and those of them that gave a wheel."""

    id: str
    applies: str
    why: str
    uses: int
    successes: int
    used_at: datetime | None
    expires: str | None
    notes: list[str]

    @classmethod
    def of(cls, row: RuleRow) -> RecipeRow:
        """As the pages show it."""
        same = ("id", "applies", "uses", "successes", "used_at", "expires")
        return cls(why=printable(row.why), notes=list(row.notes), **{name: getattr(row, name) for name in same})


@get("/failures")
def failures(query: FailuresAsked) -> Page[FailureRow]:
    """Causes, those that keep most downloads from a wheel first."""
    with database().reading() as session:
        found, after = ranking(session, failure_class=query.failure_class, after=query.cursor)
    return Page(items=[FailureRow.of(item) for item in found], next=_cursor(after))


@get("/failures/<int(max=2147483647):failure>")
def failure(failure: Number, query: Cursor) -> FailureDetail:
    """One cause, and the builds that failed of it."""
    with database().reading() as session:
        page = cluster_page(session, failure, before=query.cursor, rules=rules())
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    builds = Page(items=[BuildRow.of(item) for item in page.builds], next=_cursor(page.before))
    return FailureDetail(failure=FailureRow.of(page.ranked), evidence=printable(page.evidence), builds=builds)


@get("/queue")
def queue(query: QueueAsked) -> Queue:
    """What waits for a node, in order, with what each score is made of, and how long it may take."""
    with database().reading() as session:
        page = queue_page(session, platform=query.platform, after=query.cursor)
    return Queue(
        platform=page.chosen,
        lanes=[
            LaneRow(
                platform=lane.platform,
                queued=lane.queued,
                waiting=lane.waiting,
                running=lane.running,
                rate=lane.rate,
                empty_in_s=lane.empty_in_s,
            )
            for lane in page.lanes
        ],
        builds=Page(
            items=[
                QueuedRow(
                    build=item.build.id,
                    project=item.build.project.name,
                    version=item.build.version,
                    score=item.score,
                    because={term.name: term.points for term in item.terms},
                )
                for item in page.builds
            ],
            next=_cursor(page.after),
        ),
    )


@get("/platforms")
def platforms() -> Page[PlatformRow]:
    """Each platform with its nodes, and how its builds stand."""
    with database().reading() as session:
        places = platforms_page(session, farm=settings().farm.platforms, rules=rules())
    return Page(
        items=[
            PlatformRow(
                name=printable(place.name),
                wanted=place.wanted,
                nodes=[offer.node.name for offer in place.offers],
                builds=dict(place.states),
                rate=place.rate,
                lacks=place.lacks,
            )
            for place in places
        ]
    )


@get("/recipes")
def recipes(query: RecipesAsked) -> Page[RecipeRow]:
    """The rules that people wrote, by project, and what came of each."""
    with database().reading() as session:
        page = knowledge.recipes(session, settings().farm.recipes, after=query.cursor)
    return Page(items=[RecipeRow.of(row) for row in page.rows], next=page.more)


def _cursor(number: int) -> str:
    return str(number or "")
