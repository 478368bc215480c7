"""A release built once more: under the next build number, for a published file name never gets other bytes (A-11)."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from master import audit, builds
from schema.db import scoring
from schema.db.models import Build
from schema.db.session import now
from schema.states import BuildPolicy, BuildState

_ALIVE = (BuildState.QUEUED, BuildState.WAITING, BuildState.LEASED, BuildState.COLLECTING, BuildState.PUBLISHED)


def next_number(session: Session, build: Build) -> int:
    """The first build number of the release that is free on every platform."""
    highest = session.scalar(
        select(func.max(Build.build_number)).where(Build.project_id == build.project_id, Build.version == build.version)
    )
    return (highest or 0) + 1


def is_followed(session: Session, build: Build) -> bool:
    """Whether a later build of the same release on the same platform is published, or on its way."""
    later = select(Build.id).where(
        Build.project_id == build.project_id,
        Build.version == build.version,
        Build.platform == build.platform,
        Build.build_number > build.build_number,
        Build.state.in_(_ALIVE),
    )
    return session.scalar(later.limit(1)) is not None


def again(session: Session, build: Build, *, origin: str, reason: str, who: str = "", because: str = "") -> Build:
    """Queue the release of *build* under the next number; *who* asked for it leaves a row of audit, with *because*.

    origin: as in ``Request``; reason: of the new build's state
    """
    moment = now(session)
    made = Build(
        project=build.project,
        version=build.version,
        platform=build.platform,
        build_number=next_number(session, build),
        sdist_id=build.sdist_id,
        policy=BuildPolicy.ALWAYS,
        state=BuildState.QUEUED,
        reason=reason,
        origin=origin,
        created_at=moment,
        changed_at=moment,
        followed_at=moment,
    )
    builds.insert(session, made)
    scoring.rescore(session, [made])
    if who:
        audit.note(
            session,
            who=who,
            action="rebuild",
            subject=f"build {made.id}",
            before={"build": build.id},
            after={"build": made.id, "build_number": made.build_number},
            reason=because,
        )
    return made
