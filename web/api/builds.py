"""Builds, what went into them, and their logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Literal

from flask import Response, abort

from schema.db.models import Attempt, UpstreamFile
from schema.jobs import Material, Usage
from schema.printable import printable
from web import logs, queries
from web.api.asked import Number, NumberCursor, Text
from web.api.endpoints import Page, get
from web.api.shapes import BuildRow, RepeatRow, TryRow, texts
from web.builds import BuildPage, build_page
from web.pages.asked import database, rules, settings

State = Literal[
    "", "open", "waiting", "queued", "leased", "collecting", "published", "failed", "held", "poisoned", "unneeded",
    "withdrawn",
]  # fmt: skip
_LOG_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildsAsked:
    """state: ``open`` for all in which the farm has something to do; cursor: as in ``next``."""

    state: State = ""
    platform: Text = ""
    cursor: NumberCursor = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptAsked:
    """attempt: its number; the latest without."""

    attempt: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One try at a build. failure_class: None where it did not fail; evidence, line: of the log, which say why."""

    number: int
    node: str
    outcome: str
    failure_class: str | None
    message: str
    evidence: str
    line: int | None
    started_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Attempt) -> AttemptRow:
        """From the row."""
        return cls(
            number=row.fence,
            node=row.node,
            outcome=row.outcome,
            failure_class=row.failure_class,
            message=printable(row.message),
            evidence=printable(row.evidence),
            line=row.line,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A step of an attempt; seconds: so far, while it runs."""

    name: str
    note: str
    seconds: float
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TermRow:
    """A part of the score, and why it is so much."""

    name: str
    points: float
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildDetail:
    """A build with its attempts, its wheels, what its score is made of, and one attempt in full.

    attempt: the one that steps, tries, resources and usage are of; None before the first
    tries: none where it was tried once, with nothing but its recipe
    resources: what it took, by name, whose end is the unit; usage: what it used as time went
    failure: the cause that it failed of, as in ``/failures``; repeat: that it was, or is, built twice
    """

    build: BuildRow
    attempts: list[AttemptRow]
    attempt: int | None
    steps: list[StepRow]
    tries: list[TryRow]
    resources: dict[str, float]
    usage: list[Usage]
    wheels: list[str]
    score: list[TermRow]
    failure: int | None
    repeat: RepeatRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A source distribution. sha256: None where the upstream gives none; such a file is never used."""

    filename: str
    url: str
    sha256: str | None
    size_bytes: int | None
    uploaded_at: datetime | None

    @classmethod
    def of(cls, row: UpstreamFile) -> SourceRow:
        """From the row."""
        same = ("sha256", "size_bytes", "uploaded_at")
        told = {name: getattr(row, name) for name in same}
        return cls(filename=printable(row.filename), url=printable(row.url), **told)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialRow:
    """Something that went into an attempt.

    kind: ``sdist``, ``image``, ``tarball`` (that the image is of), ``debian``, ``tool``, ``emulator``, ``python`` (a
        wheel of the upstream), ``farm-wheel``; sha256: None where only a version is known
    """

    kind: str
    name: str
    version: str
    sha256: str | None

    @classmethod
    def of(cls, item: Material) -> MaterialRow:
        """As the page shows it."""
        told = {name: printable(getattr(item, name)) for name in ("kind", "name", "version")}
        return cls(sha256=item.sha256, **told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What went into a build. attempt: the one that all but *source* and *policy* is of; None before the first.

    policy: ``always``: built even where upstream has a wheel; source: None where the release has none
    recipe: the ids of the rules that its recipe was made of; environment: the variables that it saw
    """

    attempt: int | None
    policy: str
    source: SourceRow | None
    recipe: list[str]
    materials: list[MaterialRow]
    environment: dict[str, str]


@get("/builds")
def builds(query: BuildsAsked) -> Page[BuildRow]:
    """The latest builds, by state and platform."""
    with database().reading() as session:
        shown, before = queries.latest_builds(
            session, state=query.state, platform=query.platform, before=query.cursor, rules=rules()
        )
        return Page(items=[BuildRow.of(item) for item in shown], next=str(before or ""))


@get("/builds/<int(max=2147483647):build>")
def build(build: Number, query: AttemptAsked) -> BuildDetail:
    """One build."""
    page = _page(build, query)
    return BuildDetail(
        build=BuildRow.of(queries.Shown(build=page.build, answer=page.answer)),
        attempts=[AttemptRow.of(item) for item in page.attempts],
        attempt=page.attempt.fence if page.attempt else None,
        steps=[
            StepRow(name=item.name, note=item.note, seconds=item.seconds, running=item.running) for item in page.steps
        ],
        tries=[TryRow.of(item) for item in page.tries],
        resources={printable(item.name): item.amount for item in page.resources},
        usage=page.usage,
        wheels=[item.filename for item in page.wheels],
        score=[TermRow(name=item.name, points=item.points, because=printable(item.because)) for item in page.score],
        failure=page.cluster_id,
        repeat=RepeatRow.of(page.repeat) if page.repeat else None,
    )


@get("/builds/<int(max=2147483647):build>/materials")
def materials(build: Number, query: AttemptAsked) -> Materials:
    """What went into it: source, image, packages, build requirements, the rules of recipes, the environment."""
    page = _page(build, query)
    return Materials(
        attempt=page.attempt.fence if page.attempt else None,
        policy=page.build.policy,
        source=SourceRow.of(page.build.sdist) if page.build.sdist else None,
        recipe=texts(page.attempt.rules) if page.attempt else [],
        materials=[MaterialRow.of(item) for item in page.materials],
        environment={printable(name): printable(value) for name, value in page.environment},
    )


@get("/builds/<int(max=2147483647):build>/log")
def log(build: Number, query: AttemptAsked) -> Response:
    """The log of an attempt, its last 4 MiB, with control characters made visible."""
    page = _page(build, query)
    if page.attempt is None:
        abort(HTTPStatus.NOT_FOUND)
    tail = logs.tail(logs.path(settings().logs, build, page.attempt.fence), limit_bytes=_LOG_BYTES)
    if tail is None:
        abort(HTTPStatus.NOT_FOUND)
    return Response(tail.text, content_type="text/plain; charset=utf-8")


def _page(build: int, query: AttemptAsked) -> BuildPage:
    with database().reading() as session:
        page = build_page(session, build, fence=query.attempt, rules=rules())
    return page if page is not None else abort(HTTPStatus.NOT_FOUND)
