"""Builds, their logs, and the nodes that work on them."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from flask import Response, abort

from schema.printable import printable
from web import logs, queries
from web.api.asked import Number, NumberCursor, Text
from web.api.endpoints import Page, get
from web.api.shapes import AttemptRow, BuildRow, NodeRow
from web.builds import build_page
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
class LogAsked:
    """attempt: its number; the latest without."""

    attempt: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A step of the latest attempt; seconds: so far, while it runs."""

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
    """A build with its attempts, the steps of the latest, its wheels, and what its score is made of."""

    build: BuildRow
    attempts: list[AttemptRow]
    steps: list[StepRow]
    wheels: list[str]
    score: list[TermRow]


@get("/builds")
def builds(query: BuildsAsked) -> Page[BuildRow]:
    """The latest builds, by state and platform."""
    with database().reading() as session:
        shown, before = queries.latest_builds(
            session, state=query.state, platform=query.platform, before=query.cursor, rules=rules()
        )
        return Page(items=[BuildRow.of(item) for item in shown], next=str(before or ""))


@get("/builds/<int(max=2147483647):build>")
def build(build: Number) -> BuildDetail:
    """One build."""
    with database().reading() as session:
        page = build_page(session, build, fence=None, rules=rules())
    if page is None:
        abort(HTTPStatus.NOT_FOUND)
    return BuildDetail(
        build=BuildRow.of(queries.Shown(build=page.build, answer=page.answer)),
        attempts=[AttemptRow.of(item) for item in page.attempts],
        steps=[
            StepRow(name=item.name, note=item.note, seconds=item.seconds, running=item.running) for item in page.steps
        ],
        wheels=[item.filename for item in page.wheels],
        score=[TermRow(name=item.name, points=item.points, because=printable(item.because)) for item in page.score],
    )


@get("/builds/<int(max=2147483647):build>/log")
def log(build: Number, query: LogAsked) -> Response:
    """The log of an attempt, its last 4 MiB, with control characters made visible."""
    with database().reading() as session:
        page = build_page(session, build, fence=query.attempt, rules=rules())
    if page is None or page.attempt is None:
        abort(HTTPStatus.NOT_FOUND)
    tail = logs.tail(logs.path(settings().logs, build, page.attempt.fence), limit_bytes=_LOG_BYTES)
    if tail is None:
        abort(HTTPStatus.NOT_FOUND)
    return Response(tail.text, content_type="text/plain; charset=utf-8")


@get("/nodes")
def nodes() -> Page[NodeRow]:
    """The machines that build."""
    with database().reading() as session:
        return Page(items=[NodeRow.of(crew) for crew in queries.nodes(session, rules=rules())])
