"""What nobody asks for any more: requests are withdrawn, and builds that only they wanted are not begun."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from packaging.specifiers import SpecifierSet
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from master import builds
from schema.causes import UNASKED
from schema.db.models import Build, Request
from schema.states import BuildState

_NOT_BEGUN = (BuildState.QUEUED, BuildState.WAITING)


def withdraw(session: Session, requests: Collection[Request], *, why: str, now: datetime) -> int:
    """Take these requests back; count the builds that are spared.

    A build that runs ends as it would have; one that is asked for again is queued again (it is ``unneeded``).
    """
    if not requests:
        return 0
    projects = {request.project_id for request in requests}
    session.execute(delete(Request).where(Request.id.in_([request.id for request in requests])))
    left: dict[int, list[Request]] = {project_id: [] for project_id in projects}
    for request in session.scalars(select(Request).where(Request.project_id.in_(projects))):
        left[request.project_id].append(request)
    waiting = session.scalars(select(Build).where(Build.project_id.in_(projects), Build.state.in_(_NOT_BEGUN))).all()
    reason = f"{UNASKED}{why}"
    return sum(
        # Followed: there is no wheel whose needs could be read.
        builds.move(session, build, BuildState.UNNEEDED, reason=reason, not_before=None, followed_at=now)
        for build in waiting
        if not build.build_number and not _is_wanted(build, left[build.project_id])
    )


def _is_wanted(build: Build, requests: Sequence[Request]) -> bool:
    return any(
        request.platform in {"", build.platform}
        and SpecifierSet(request.specifier).contains(build.version, prereleases=True)
        for request in requests
    )
