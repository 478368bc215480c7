"""Whether a farm has anything left to do, and what became of what people asked for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, not_, select
from sqlalchemy.orm import Session, contains_eager

from master import backfill, undecided
from schema import cooldown
from schema.db.models import Build, DirtyPage, Mark, Project, Request
from schema.states import OPEN_STATES, BuildState

# An upstream that failed so often in a row is not waited for.
_GIVE_UP_AFTER_ERRORS = 4


def left_to_do(session: Session) -> str:
    """What the farm still has to do by itself, in a few words; "" if nothing."""
    unread = select(func.count()).where(Project.checked_at.is_(None), Project.errors < _GIVE_UP_AFTER_ERRORS)
    marked = select(func.count()).where(undecided.WAITS, Project.errors < _GIVE_UP_AFTER_ERRORS)
    unfollowed = select(func.count()).where(
        Build.followed_at.is_(None), Build.state.in_((BuildState.PUBLISHED, BuildState.UNNEEDED))
    )
    cools = Build.reason.startswith(cooldown.REASON)
    parts = {
        "projects to look at": unread,
        "projects to decide about": marked,
        # What cools down does so for a day: nobody waits for that.
        "builds": select(func.count()).where(
            Build.state.in_(OPEN_STATES), not_(and_(Build.state == BuildState.WAITING, cools))
        ),
        "wheels whose requirements are to be read": unfollowed,
        "pages to render": select(func.count()).select_from(DirtyPage),
    }
    counts = {what: session.scalars(query).one() for what, query in parts.items()}
    mark = session.get(Mark, backfill.MARK)
    if mark is not None and mark.finished_at is None:
        counts["projects to plan again"] = max(mark.total - mark.done, 1)
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A project that a person or a list asked for, on one platform.

    state: of its newest build there; "" where it has none, and then *reason* says why
    debian_packages: those that its wheel needs where it is used
    """

    project: str
    platform: str
    version: str = ""
    state: str = ""
    reason: str = ""
    debian_packages: tuple[str, ...] = ()

    @property
    def is_published(self) -> bool:
        """Whether the farm serves it."""
        return self.state == BuildState.PUBLISHED

    @property
    def is_settled_well(self) -> bool:
        """Whether the farm did its part: it serves the wheel, or the policy says that it need not."""
        return self.state in {BuildState.PUBLISHED, BuildState.UNNEEDED}


def wanted(session: Session, *, platforms: list[str]) -> list[Wanted]:
    """What people and lists asked for, one for each project, platform and version that came of it."""
    requests = session.scalars(
        select(Request)
        .join(Project)
        .options(contains_eager(Request.project))
        .where(Request.origin.in_(("person", "list")))
        .order_by(Project.name, Request.id)
    )
    found: dict[tuple[str, str, str], Wanted] = {}
    for request in requests:
        for platform in [request.platform] if request.platform else platforms:
            for item in _outcomes(session, request, platform):
                found.setdefault((item.project, item.platform, item.version), item)
    return list(found.values())


def _outcomes(session: Session, request: Request, platform: str) -> list[Wanted]:
    project = request.project
    if request.problem or project.checked_at is None:
        reason = request.problem or project.error or "its page at the upstream index was not read yet"
        return [Wanted(project=project.name, platform=platform, reason=reason)]
    rows = session.scalars(
        select(Build)
        .where(Build.project_id == project.id, Build.platform == platform)
        .order_by(Build.build_number.desc(), Build.id.desc())
    )
    newest: dict[str, Build] = {}
    for build in rows:
        known = newest.get(build.version)
        # A rebuild that gave the same bytes is unneeded; what it repeated is what the farm serves.
        if known is None or (known.state == BuildState.UNNEEDED and build.state == BuildState.PUBLISHED):
            newest[build.version] = build
    if not newest:
        return [Wanted(project=project.name, platform=platform, reason="the farm has no build of it")]
    return [
        Wanted(
            project=project.name,
            platform=platform,
            version=build.version,
            state=build.state,
            reason=build.reason,
            debian_packages=tuple(sorted({name for wheel in build.wheels for name in wheel.runtime_packages})),
        )
        for build in newest.values()
    ]
