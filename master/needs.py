"""A build requirement without a wheel is built first; whoever needs it waits, and begins the moment that it is there.

No polling: the move that ends a build wakes, in the same transaction, what waits for its project. A sweep catches what
that could miss: a requirement that no release meets, a wake-up of more builds than one transaction takes.

``waits_for`` stays with a build that failed for want of a requirement: when a person has that tried again, what needs
it waits once more. A build that waits hands its score on to what it waits for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum, auto

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy import select, tuple_
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from master import builds, requests
from schema.db.models import Build, Project, Request
from schema.errors import UsageError
from schema.jobs import MOST_MISSING
from schema.platforms import Platform
from schema.printable import one_line
from schema.states import OPEN_STATES, BuildPolicy, BuildState, FailureClass

log = logging.getLogger(__name__)

# Of these others may wait for the wheel, or give up hope.
ENDS = frozenset({BuildState.PUBLISHED, BuildState.UNNEEDED, BuildState.FAILED, BuildState.WITHDRAWN})

_THERE = frozenset({BuildState.PUBLISHED, BuildState.UNNEEDED})
_MAY_COME = OPEN_STATES | {BuildState.HELD, BuildState.POISONED}
_AT_ONCE = 200
_MOST_DEPTH = 20
_REASON_CHARACTERS = 500


class _Standing(Enum):
    THERE = auto()
    MAY_COME = auto()
    NEVER = auto()


def wait(session: Session, build: Build, missing: Sequence[str]) -> None:
    """*build* ended because these requirements have no wheel: have them built, and let it wait for them.

    It fails at once where that cannot help: it needs itself, they need it in turn, or they are there and of no use.
    """
    new = [text for text in missing if text not in build.needs]
    if len(build.needs) + len(new) > MOST_MISSING:
        _give_up(session, build, f"needs more than {MOST_MISSING} requirements that have no wheel")
    elif any(canonicalize_name(Requirement(text).name) == build.project.name for text in missing):
        _give_up(session, build, "needs itself to build")
    elif not new and all(_standing(session, text, build.platform)[0] is _Standing.THERE for text in missing):
        _give_up(session, build, f"needs {missing[0]} to build, and what there is of it is of no use")
    else:
        _ask_for(session, build, new)


def ended(session: Session, build: Build) -> None:
    """*build* is in one of the states that end a build: decide again about those that wait for its project.

    What goes wrong with one of them undoes neither that end nor the others; the sweep comes back to it.
    """
    waiting = session.scalars(
        select(Build)
        .where(Build.waits_for == build.project_id, Build.platform == build.platform)
        .order_by(Build.score.desc(), Build.id)
        .limit(_AT_ONCE)
    ).all()
    for item in waiting:
        _decide_alone(session, item)


def sweep(session: Session, *, after: tuple[int, int] = (0, 0), limit: int = _AT_ONCE) -> tuple[int, int]:
    """Decide again about some of those that wait; return where to go on, (0, 0) after the last.

    after: the project and the build that the sweep before ended with
    """
    waiting = session.scalars(
        select(Build)
        # Not by state, too: the index of all that wait, for time above all, may be a long one.
        .where(Build.waits_for >= after[0], tuple_(Build.waits_for, Build.id) > after)
        .order_by(Build.waits_for, Build.id)
        .limit(limit)
    ).all()
    places = [(item.waits_for or 0, item.id) for item in waiting]
    for item in waiting:
        _decide_alone(session, item)
    return places[-1] if len(places) == limit else (0, 0)


def _decide_alone(session: Session, build: Build) -> None:
    """In a savepoint; an earlier one's end may have decided about this one as well."""
    build_id = build.id
    try:
        with session.begin_nested():
            if build.state in {BuildState.WAITING, BuildState.FAILED} and build.waits_for is not None:
                decide(session, build)
    except OperationalError:  # the database is away, or wants the whole transaction once more
        raise
    except Exception:
        log.exception("build %s: what it waits for cannot be looked at now", build_id)


def _ask_for(session: Session, build: Build, new: Sequence[str]) -> None:
    because = f"{build.project.title} {build.version} needs it to build"
    try:
        for text in sorted(new):  # in one order: whoever asks locks the project
            requests.add(
                session,
                Requirement(text),
                platforms=[Platform.parse(build.platform)],
                policy=BuildPolicy.ALWAYS,
                origin="dependency",
                because=because,
            )
    except UsageError as err:
        _give_up(session, build, f"needs what cannot be built: {err}")
        return
    build.needs = [*build.needs, *new]
    session.flush()
    decide(session, build)


def decide(session: Session, build: Build) -> None:
    """Queue the build if all that it needs is there, fail it if something never comes, else let it wait."""
    first: Project | None = None
    for text in build.needs:
        standing, project, reason = _standing(session, text, build.platform)
        if standing is _Standing.NEVER:
            _give_up(session, build, f"needs {text} to build, which cannot be had: {reason}", lacks=project)
            return
        if standing is _Standing.MAY_COME and project is not None:
            _hand_score(session, build, requirement=text, project=project)
            first = first or project
    if first is None:
        reason = f"what it needs to build is there now: {', '.join(build.needs)}"
        builds.move(session, build, BuildState.QUEUED, reason=reason)
    elif circle := _circle(session, build, first):
        _give_up(session, build, circle)
    else:
        _wait_for(session, build, first)


def _hand_score(session: Session, build: Build, *, requirement: str, project: Project) -> None:
    """What *build* waits for is as urgent as itself."""
    less_urgent = session.scalars(
        select(Build).where(
            Build.project_id == project.id,
            Build.platform == build.platform,
            Build.state.in_((BuildState.QUEUED, BuildState.WAITING)),
            Build.score < build.score,
        )
    )
    fitting = Requirement(requirement).specifier
    for item in less_urgent:
        if fitting.contains(item.version, prereleases=True):
            item.score = build.score
    session.flush()


def _wait_for(session: Session, build: Build, project: Project) -> None:
    reason = f"waits for {project.title}, which must be built first"
    if build.state == BuildState.FAILED:  # whose way leads over the queue
        builds.move(session, build, BuildState.QUEUED, reason="what it needs to build is tried again")
    if build.state != BuildState.WAITING:
        builds.move(session, build, BuildState.WAITING, reason=reason, waits_for=project.id)
    elif build.waits_for != project.id:
        build.waits_for, build.reason = project.id, reason
        session.flush()


def _give_up(session: Session, build: Build, why: str, *, lacks: Project | None = None) -> None:
    """*lacks*: for want of which it fails; None where that alone would not help."""
    text, waits_for = one_line(f"{FailureClass.REQUIREMENT}: {why}")[:_REASON_CHARACTERS], lacks.id if lacks else None
    if build.state != BuildState.FAILED:
        builds.move(session, build, BuildState.FAILED, reason=text, waits_for=waits_for)
    elif build.waits_for != waits_for:  # that is there now, but not this
        build.reason, build.waits_for = text, waits_for
        session.flush()


def _standing(session: Session, text: str, platform: str) -> tuple[_Standing, Project | None, str]:
    """How it stands with one requirement on a platform; and why, where it never comes."""
    requirement = Requirement(text)
    project = session.scalar(select(Project).where(Project.name == canonicalize_name(requirement.name)))
    if project is None:
        return _Standing.NEVER, None, "nobody asked for it"
    rows = session.execute(
        select(Build.version, Build.state, Build.reason)
        .where(Build.project_id == project.id, Build.platform == platform)
        .order_by(Build.id.desc())
    ).all()
    fitting = [row for row in rows if requirement.specifier.contains(row.version, prereleases=True)]
    if any(row.state in _THERE for row in fitting):
        return _Standing.THERE, project, ""
    if any(row.state in _MAY_COME for row in fitting):
        return _Standing.MAY_COME, project, ""
    asked = session.scalars(
        select(Request).where(
            Request.project_id == project.id,
            Request.platform == platform,
            Request.specifier == str(requirement.specifier),
        )
    ).all()
    if project.checked_at is None or any(request.resolved_at is None for request in asked):
        return _Standing.MAY_COME, project, ""
    problem = next((request.problem for request in asked if request.problem), "")
    failed = next((f"{project.title} {row.version}: {row.reason}" for row in fitting), "")
    return _Standing.NEVER, project, failed or problem or "the upstream has no release of it that can be built"


def _circle(session: Session, build: Build, first: Project) -> str:
    """Why waiting for *first* would never end; "" if it may."""
    path, at = [build.project.title, first.title], first.id
    while len(path) <= _MOST_DEPTH:
        following = session.scalar(
            select(Project)
            .join(Build, Build.waits_for == Project.id)
            .where(
                Build.project_id == at,
                Build.platform == build.platform,
                Build.state == BuildState.WAITING,
                Build.waits_for.is_not(None),
            )
            .order_by(Build.id.desc())
            .limit(1)
        )
        if following is None:
            return ""
        path.append(following.title)
        at = following.id
        if at == build.project_id:
            return f"needs itself to build, in the end: {', which needs '.join(path)}; a person must break this circle"
    return f"needs a chain of more than {_MOST_DEPTH} others to build: {' → '.join(path[:4])} → …"
