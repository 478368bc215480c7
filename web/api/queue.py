"""What waits, and what the farm builds for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schema.printable import printable
from web.api.asked import NumberCursor, Text, cursor
from web.api.endpoints import Page, get
from web.pages.asked import database, rules, settings
from web.platforms import Place, platforms_page
from web.queue import Lane, Next, queue_page
from web.shown import platform_title


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueAsked:
    """platform: whose queue; the longest one without. cursor: of the page before, 0 for the first."""

    platform: Text = ""
    cursor: NumberCursor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRow:
    """A build that waits for a node. because: the terms of its score, those that weigh most first: name → points."""

    build: int
    project: str
    version: str
    score: float
    because: dict[str, float]
    since: datetime

    @classmethod
    def of(cls, item: Next) -> QueuedRow:
        """As the page shows it."""
        return cls(
            build=item.build.id,
            project=item.build.project.name,
            version=item.build.version,
            score=item.score,
            because={term.name: term.points for term in item.terms},
            since=item.build.changed_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """The queue of one platform. rate: attempts that end in an hour; empty_in_s: None where nobody can tell."""

    platform: str
    queued: int
    waiting: int
    running: int
    rate: float
    empty_in_s: float | None

    @classmethod
    def of(cls, lane: Lane) -> LaneRow:
        """As the page shows it."""
        return cls(**{name: getattr(lane, name) for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """lanes: of every platform; builds: what waits on *platform*, the next one first."""

    platform: str
    lanes: list[LaneRow]
    builds: Page[QueuedRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformRow:
    """What the farm builds for. wanted: by its settings; lacks: what keeps it from being built for, or "".

    view: the index of its wheels; glibc: of its distribution; both None where the farm does not know it (any more)
    nodes: that offer it; emulated: those of them whose own processor does not run it
    """

    name: str
    title: str
    view: str | None
    glibc: str | None
    wanted: bool
    nodes: list[str]
    emulated: list[str]
    builds: dict[str, int]
    rate: float
    lacks: str

    @classmethod
    def of(cls, place: Place) -> PlatformRow:
        """As the page shows it."""
        known = place.parsed
        return cls(
            name=printable(place.name),
            title=printable(platform_title(place.name)),
            view=known.view if known else None,
            glibc=".".join(map(str, known.distribution.glibc)) if known else None,
            wanted=place.wanted,
            nodes=[offer.node.name for offer in place.offers],
            emulated=[offer.node.name for offer in place.offers if offer.emulated],
            builds=dict(place.states),
            rate=place.rate,
            lacks=place.lacks,
        )


@get("/queue")
def queue(query: QueueAsked) -> Queue:
    """What waits for a node, in order, with what each score is made of, and how long it may take."""
    with database().reading() as session:
        page = queue_page(session, platform=query.platform, after=query.cursor)
    return Queue(
        platform=page.chosen,
        lanes=[LaneRow.of(lane) for lane in page.lanes],
        builds=Page(items=[QueuedRow.of(item) for item in page.builds], next=cursor(page.after)),
    )


@get("/platforms")
def platforms() -> Page[PlatformRow]:
    """Each platform with its nodes, and how its builds stand."""
    with database().reading() as session:
        places = platforms_page(session, farm=settings().farm.platforms, rules=rules())
    return Page(items=[PlatformRow.of(place) for place in places])
