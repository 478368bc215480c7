"""How many builds are ahead of one in the queue: counted along an index, and not beyond a bound."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import CompoundSelect, ScalarSelect, Select, func, literal, literal_column, select, tuple_, union_all
from sqlalchemy.orm import Session

from schema.db.models import Build
from schema.sizes import NEEDS
from schema.states import BuildState

# Nobody needs to know more exactly how many thousands there are, nor the places of a whole page of builds.
MOST = 1000
_MOST_BUILDS = 20


def ahead(session: Session, builds: Sequence[Build]) -> dict[int, int]:
    """Build → builds of its platform that come first, for the first few that queue; more than ``MOST`` mean many."""
    queued = [build for build in builds if build.state == BuildState.QUEUED][:_MOST_BUILDS]
    if not queued:
        return {}
    return {int(row[0]): int(row[1]) for row in session.execute(counting(queued))}


def counting(builds: Sequence[Build]) -> CompoundSelect[int, int]:
    """The query: a row of number and count for each of *builds*."""
    return union_all(*[_place(build) for build in builds])


def _place(build: Build) -> Select[int, int]:
    return select(literal(build.id), sum((_of_size(build, size) for size in range(len(NEEDS))), start=literal(0)))


def _of_size(build: Build, size: int) -> ScalarSelect[int]:
    first = (
        select(Build.id)
        .where(
            # Spelt out, not bound: a partial index is used only where the planner sees its condition.
            literal_column("builds.state = 'queued'"),
            Build.platform == build.platform,
            Build.size == size,
            tuple_(Build.score, Build.id) > (build.score, build.id),
        )
        .order_by(Build.score, Build.id)  # has SQLite take the index of the queue
        .limit(MOST + 1)
        .subquery()
    )
    return select(func.count()).select_from(first).scalar_subquery()
