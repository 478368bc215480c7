"""What a build waits for, and what that waits for in turn: read hop by hop for all builds at once, and not for ever."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from schema.db.models import Build, Project
from schema.states import OPEN_STATES, BuildState

MOST_HOPS = 5
_MOST_BUILDS = 1000
_MAY_COME = (*OPEN_STATES, BuildState.HELD, BuildState.POISONED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a build waits for: a project, and the project's build that may bring it; None where there is none yet."""

    project: Project
    build: Build | None = None


def links(session: Session, builds: Sequence[Build]) -> dict[int, Link]:
    """For each of *builds* that waits for another project, and for what that waits for: build → link."""
    found: dict[int, Link] = {}
    waiting = [build for build in builds if _waits(build)]
    for _ in range(MOST_HOPS):
        if not waiting:
            break
        projects = _projects(session, waiting)
        candidates = _candidates(session, waiting)
        for build in waiting:
            project = projects.get(build.waits_for or 0)
            if project is not None:
                fitting = _fitting(build, project, candidates[project.id, build.platform])
                found[build.id] = Link(project=project, build=fitting)
        following = [found[build.id].build for build in waiting if build.id in found]
        waiting = [build for build in following if build is not None and _waits(build) and build.id not in found]
    return found


def chain(build: Build, found: Mapping[int, Link]) -> tuple[list[Link], bool]:
    """The links from *build* on, at most ``MOST_HOPS``, and whether they lead back to where they were."""
    path: list[Link] = []
    passed, at = {build.id}, build
    while len(path) < MOST_HOPS and (link := found.get(at.id)) is not None:
        path.append(link)
        if link.build is None:
            break
        if link.build.id in passed:
            return path, True
        passed.add(link.build.id)
        at = link.build
    return path, False


def _waits(build: Build) -> bool:
    return build.state == BuildState.WAITING and build.waits_for is not None


def _projects(session: Session, waiting: Sequence[Build]) -> dict[int, Project]:
    wanted = {build.waits_for for build in waiting}
    return {project.id: project for project in session.scalars(select(Project).where(Project.id.in_(wanted)))}


def _candidates(session: Session, waiting: Sequence[Build]) -> dict[tuple[int, str], list[Build]]:
    """Those that may still bring something, by project and platform, the newest first."""
    wanted = {(build.waits_for, build.platform) for build in waiting}
    rows = session.scalars(
        select(Build)
        .where(tuple_(Build.project_id, Build.platform).in_(wanted), Build.state.in_(_MAY_COME))
        .order_by(Build.id.desc())
        .limit(_MOST_BUILDS)
    )
    found: dict[tuple[int, str], list[Build]] = defaultdict(list)
    for row in rows:
        found[row.project_id, row.platform].append(row)
    return found


def _fitting(build: Build, project: Project, candidates: Sequence[Build]) -> Build | None:
    """The newest that meets what *build* needs; one that a person must free only where there is no other."""
    specifier = _needed(build, project)
    fitting = [item for item in candidates if item.id != build.id and _contains(specifier, item.version)]
    return next((item for item in fitting if item.state in OPEN_STATES), next(iter(fitting), None))


def _needed(build: Build, project: Project) -> SpecifierSet:
    for text in build.needs if isinstance(build.needs, list) else ():
        try:
            requirement = Requirement(str(text))
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) == project.name:
            return requirement.specifier
    return SpecifierSet()


def _contains(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return False
