"""The score of builds as the database has it: what it is made of, and how it is kept right.

The weights in force stand in the mark ``score``, so that every process reckons with the same ones.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from packaging.version import Version
from sqlalchemy import case, exists, func, select, true, union_all
from sqlalchemy.orm import Session

from schema import score, sizes
from schema.db.models import Build, Mark, Project, Request, UpstreamFile, Wheel
from schema.score import Facts, Term, Weights
from schema.states import BuildState

MARK = "score"

# Of other builds the score decides nothing. What waits is queued in the end.
SCORED = (BuildState.WAITING, BuildState.QUEUED)

_PURE = "%-none-any.whl"
_AT_WORK_OR_DONE = frozenset({BuildState.LEASED, BuildState.COLLECTING, BuildState.PUBLISHED})
_MOST_REASONS = 20_000
_ROUNDING = 1e-6


def weights(session: Session) -> Weights:
    """Those in force; the defaults in a farm whose master never ran."""
    mark = session.get(Mark, MARK)
    return read(mark.etag) if mark is not None and mark.etag else Weights()


def written(found: Weights) -> str:
    """Weights as the mark keeps them."""
    return json.dumps(dataclasses.asdict(found), sort_keys=True)


def read(text: str) -> Weights:
    """Weights as the mark keeps them, of an older or newer farm, too."""
    known = {field.name for field in dataclasses.fields(Weights)}
    return Weights(**{key: value for key, value in json.loads(text).items() if key in known})


def explain(session: Session, build: Build, *, now: datetime) -> tuple[Term, ...]:
    """Every term of the score of *build* as it is at the time *now*."""
    return explain_all(session, [build], now=now)[build.id]


def explain_all(session: Session, builds: Collection[Build], *, now: datetime) -> dict[int, tuple[Term, ...]]:
    """The same of several builds, in as many queries, which read nothing of their projects' other releases."""
    facts, in_force = _facts(session, builds), weights(session)
    handed = {build.id: build.score - score.stored(facts[build.id], in_force) for build in builds}
    more = {build.project_id for build in builds if handed[build.id] >= _ROUNDING}
    is_waited_for = exists().where(Build.waits_for == Project.id)
    urgent = set(session.scalars(select(Project.id).where(Project.id.in_(more), is_waited_for))) if more else set()
    found = {}
    for build in builds:
        found[build.id] = score.terms(facts[build.id], in_force, at=now)
        if handed[build.id] >= _ROUNDING and build.project_id in urgent:
            because = "as urgent as what waits for it"
            found[build.id] += (Term(name="waited for", points=handed[build.id], because=because),)
    return found


def rescore(session: Session, builds: Collection[Build]) -> int:
    """Bring score, size and expected time of *builds* in line with what is known now; count those that changed.

    What a build needed itself counts before what other builds of its project needed.
    """
    ids = {build.project_id for build in builds}
    behind, native, history = _behind(session, ids), _native(session, ids), _History.of(session, ids)
    for build in builds:
        build.behind = behind[build.project_id, build.platform, build.version]
        build.native = native.get(build.project_id)
        known = history.of_build(build)
        if known is not None and build.fence == build.pardoned_fence:
            build.size, build.expected_s = known
    facts, in_force = _facts(session, builds), weights(session)
    for build in builds:
        build.score = score.stored(facts[build.id], in_force)
    changed = sum(session.is_modified(build) for build in builds)
    session.flush()
    return changed


def learn(session: Session, build: Build, resources: Mapping[str, float], *, built: bool) -> None:
    """Keep what an attempt at *build* took; open builds of the project are taken to be like it, if it gave a wheel.

    An attempt that failed may have ended before its time: it makes a build larger, never smaller.
    """
    size, seconds = sizes.of(resources), sizes.measured(resources, "wall_s")
    if size is not None:
        build.size = size if built else max(build.size, size)
    if built and seconds:
        build.expected_s = seconds
        rescore_project(session, build.project_id)
    session.flush()


def rescore_project(session: Session, project_id: int) -> int:
    """The same for every build of a project that the score still decides about, after a change of what is wanted."""
    project = session.get_one(Project, project_id)
    project.dependents = _dependents(session, project_id)
    builds = session.scalars(select(Build).where(Build.project_id == project_id, Build.state.in_(SCORED))).all()
    return rescore(session, builds)


def _dependents(session: Session, project_id: int) -> int:
    """How many projects need it: the reason of such a request begins with the name of who does."""
    reasons = session.scalars(
        select(Request.because)
        .where(Request.project_id == project_id, Request.origin == "dependency")
        .distinct()
        .limit(_MOST_REASONS)
    )
    return len({because.partition(" ")[0] for because in reasons})


def _facts(session: Session, builds: Collection[Build]) -> Mapping[int, Facts]:
    ids = {build.project_id for build in builds}
    projects = {
        row.id: row
        for row in session.execute(select(Project.id, Project.downloads, Project.dependents).where(Project.id.in_(ids)))
    }
    return {
        build.id: Facts(
            origin=build.origin,
            created_at=build.created_at,
            boost=build.boost,
            dependents=projects[build.project_id].dependents,
            downloads=projects[build.project_id].downloads,
            behind=build.behind,
            native=build.native,
            expected_s=build.expected_s,
            failures=_failures(build),
        )
        for build in builds
    }


def _failures(build: Build) -> int:
    """The attempt that runs, or that gave the wheel, is none."""
    return max(build.fence - build.pardoned_fence - (build.state in _AT_WORK_OR_DONE), 0)


def _behind(session: Session, ids: Collection[int]) -> Mapping[tuple[int, str, str], int]:
    """Project, platform, version → how many newer versions the farm has builds of, there."""
    rows = session.execute(
        select(Build.project_id, Build.platform, Build.version)
        .where(Build.project_id.in_(ids), Build.state != BuildState.WITHDRAWN)
        .distinct()
    )
    found: dict[tuple[int, str, str], int] = defaultdict(int)
    for (project_id, platform), group in groupby(sorted(rows), key=lambda row: row[:2]):
        newest_first = sorted((row[2] for row in group), key=Version, reverse=True)
        found.update({(project_id, platform, version): behind for behind, version in enumerate(newest_first)})
    return found


def _native(session: Session, ids: Collection[int]) -> Mapping[int, bool]:
    """Project → whether a wheel of it is compiled, here or upstream; those without a wheel are left out."""
    tables = (
        (Wheel.project_id, Wheel.filename, true()),
        (UpstreamFile.project_id, UpstreamFile.filename, UpstreamFile.kind == "wheel"),
    )
    both = union_all(
        *(
            select(project_id, func.max(case((filename.like(_PURE), 0), else_=1)).label("compiled"))
            .where(project_id.in_(ids), is_wheel)
            .group_by(project_id)
            for project_id, filename, is_wheel in tables
        )
    ).subquery()
    rows = session.execute(select(both.c.project_id, func.max(both.c.compiled)).group_by(both.c.project_id))
    return {project_id: bool(compiled) for project_id, compiled in rows}


@dataclass(frozen=True, slots=True)
class _History:
    """What builds took: project and platform, or project alone → size and seconds of the last one."""

    found: Mapping[tuple[int, str], tuple[int, float]]

    @classmethod
    def of(cls, session: Session, ids: Collection[int]) -> _History:
        rows = session.execute(
            select(Build.project_id, Build.platform, Build.size, Build.expected_s)
            .where(Build.project_id.in_(ids), Build.leased_at.is_not(None), Build.expected_s.is_not(None))
            .order_by(Build.leased_at)
        )
        found: dict[tuple[int, str], tuple[int, float]] = {}
        for project_id, platform, size, expected_s in rows:
            found[project_id, platform] = found[project_id, ""] = (size, expected_s or 0.0)
        return cls(found)

    def of_build(self, build: Build) -> tuple[int, float] | None:
        """Of the last build on its platform, else on any."""
        return self.found.get((build.project_id, build.platform)) or self.found.get((build.project_id, ""))
