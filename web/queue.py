"""What waits for a node, in the order in which it is given out, why so, and when the queue may be empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, literal_column, select, tuple_, union_all
from sqlalchemy.orm import Session, joinedload

from schema.db import counts, hours, scoring
from schema.db.models import Build
from schema.db.session import now
from schema.score import Term
from schema.sizes import NEEDS
from schema.states import BuildState
from web.queries import PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The queue of one platform. rate: attempts that ended there in an hour, over the last day."""

    platform: str
    queued: int
    waiting: int
    running: int
    rate: float

    @property
    def empty_in_s(self) -> float | None:
        """How long it takes at that rate until nothing is left to do; None where nobody can tell."""
        left = self.queued + self.waiting
        return left / self.rate * 3600 if self.rate and left else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """A build of the queue. terms: what its score is made of, without those that are nothing."""

    build: Build
    score: float
    terms: Sequence[Term]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePage:
    """lanes: of every platform; builds: a page of that of *chosen*; after: the build that the next page is behind."""

    lanes: Sequence[Lane]
    chosen: str
    builds: Sequence[Next]
    after: int


def queue_page(session: Session, *, platform: str = "", after: int = 0) -> QueuePage:
    """platform: whose queue is shown, that with the longest where it has none; after: a build of the page before."""
    found = lanes(session)
    longest = max(found, key=lambda lane: (lane.queued, lane.waiting), default=None)
    chosen = platform or (longest.platform if longest else "")
    last = session.get(Build, after) if after else None
    ids = session.scalars(_in_order(chosen, last)).all()
    query = select(Build).options(joinedload(Build.project)).where(Build.id.in_(ids[:PAGE]))
    builds = {build.id: build for build in session.scalars(query)}
    why = scoring.explain_all(session, builds.values(), now=now(session)) if builds else {}
    return QueuePage(
        lanes=found,
        chosen=chosen,
        builds=[_next(builds[number], why) for number in ids[:PAGE]],
        after=ids[PAGE - 1] if len(ids) > PAGE else 0,
    )


def lanes(session: Session) -> list[Lane]:
    """Of every platform that has something left to do, by name."""
    by_place, rates = counts.counts(session), hours.rates(session)
    found = [
        Lane(
            platform=platform,
            queued=by_place.get((platform, BuildState.QUEUED), 0),
            waiting=by_place.get((platform, BuildState.WAITING), 0),
            running=by_place.get((platform, BuildState.LEASED), 0) + by_place.get((platform, BuildState.COLLECTING), 0),
            rate=rates.get(platform, 0.0),
        )
        for platform in sorted({platform for platform, _ in by_place})
    ]
    return [lane for lane in found if lane.queued or lane.waiting or lane.running]


def empty_in_s(lanes: Sequence[Lane]) -> float | None:
    """How long it takes at today's rates until nothing is left to do anywhere; None where nobody can tell."""
    times = [lane.empty_in_s for lane in lanes if lane.queued or lane.waiting]
    known = [seconds for seconds in times if seconds is not None]
    return max(known) if known and len(known) == len(times) else None


def _in_order(platform: str, last: Build | None) -> Select[int]:
    """A page of the queue behind *last*, and one more: the best of each size, along the index that dispatch uses."""
    best = union_all(*(select(_of_size(platform, size, last).subquery()) for size in range(len(NEEDS)))).subquery()
    return select(best.c.id).order_by(best.c.score.desc(), best.c.id.desc()).limit(PAGE + 1)


def _of_size(platform: str, size: int, last: Build | None) -> Select[int, float]:
    wanted = select(Build.id, Build.score).where(
        # Spelt out, not bound: a partial index is used only where the planner sees its condition.
        literal_column("builds.state = 'queued'"),
        Build.platform == platform,
        Build.size == size,
    )
    if last is not None:
        wanted = wanted.where(tuple_(Build.score, Build.id) < (last.score, last.id))
    return wanted.order_by(Build.score.desc(), Build.id.desc()).limit(PAGE + 1)


def _next(build: Build, why: Mapping[int, Sequence[Term]]) -> Next:
    terms = why[build.id]
    telling = sorted((term for term in terms if abs(term.points) >= 0.5), key=lambda term: -abs(term.points))  # noqa: PLR2004 - rounds to 0
    return Next(build=build, score=sum(term.points for term in terms), terms=telling)
