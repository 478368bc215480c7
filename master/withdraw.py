"""Give builds up when the upstream no longer offers what they are built from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from packaging.specifiers import SpecifierSet
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from master import builds, plan
from schema.causes import TAKEN_BACK
from schema.db.models import Build, Project, Request
from schema.states import LEASED_STATES, TRANSITIONS, AttemptOutcome, BuildState, FailureClass

_NOT_BEGUN = (BuildState.QUEUED, BuildState.WAITING)


def withdraw(session: Session, build: Build, why: str, now: datetime) -> bool:
    """The upstream no longer has what *build* is built from; a node at work on it hears so with its next heartbeat."""
    state = BuildState(build.state)
    if BuildState.WITHDRAWN not in TRANSITIONS[state]:
        return False
    if state in LEASED_STATES:
        for attempt in build.attempts:
            if attempt.fence == build.fence:
                builds.end_attempt(
                    session,
                    attempt,
                    at=now,
                    outcome=AttemptOutcome.CANCELLED,
                    failure_class=FailureClass.CANCELLED,
                    message=why,
                )
        session.flush()
    return builds.move(session, build, BuildState.WITHDRAWN, reason=f"{TAKEN_BACK}{why}")


def withdraw_lost(session: Session, project: Project, requests: Sequence[Request], now: datetime) -> None:
    """Withdraw builds whose source the upstream no longer offers, before a node wastes hours on them."""
    found = session.scalars(
        select(Build)
        .where(Build.project_id == project.id, Build.state.in_([*_NOT_BEGUN, BuildState.LEASED]))
        .options(joinedload(Build.sdist))
    ).all()
    for build in found:
        if build.state == BuildState.LEASED and not (blocked_by(project) or _taken_away(build)):
            continue  # a yank does not stop what runs, nor does a page that nobody announced
        why = blocked_by(project) or _lost(build, requests)
        if why:
            withdraw(session, build, why, now)


def blocked_by(project: Project) -> str:
    """Why nothing of the project is built at all, or ""."""
    if project.status == "missing":
        return f"the upstream index has no project {project.name}"
    if project.status == "quarantined":
        reason = f": {project.status_reason}" if project.status_reason else ""
        return f"{project.name} is quarantined upstream{reason}"
    return ""


def _taken_away(build: Build) -> bool:
    return build.sdist is not None and build.sdist.gone_at is not None and build.sdist.gone_told


def _lost(build: Build, requests: Sequence[Request]) -> str:
    sdist = build.sdist
    if sdist is None:
        return ""
    if sdist.gone_at is not None:
        return f"{sdist.filename} is no longer listed"
    if sdist.yanked is not None and not any(_pins(request, build) for request in requests):
        return f"{build.version} is yanked{f' ({sdist.yanked})' if sdist.yanked else ''}"
    return ""


def _pins(request: Request, build: Build) -> bool:
    specifier = SpecifierSet(request.specifier)
    return plan.is_pinned(specifier) and specifier.contains(build.version, prereleases=True)
