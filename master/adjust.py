"""Bring the builds in line with what was decided: make the one that is wanted, move the one that is there.

What runs, what is published and what a person decided is left alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from master import builds
from master.plan import Decision, Verdict
from schema import cooldown
from schema.causes import RULED_OUT, TAKEN_BACK
from schema.db.models import Build, Project, Request, UpstreamFile
from schema.platforms import Platform
from schema.score import stronger
from schema.states import BuildPolicy, BuildState

log = logging.getLogger(__name__)

_NOT_BEGUN = frozenset({BuildState.QUEUED, BuildState.WAITING})
_STATE_OF = {
    Verdict.BUILD: BuildState.QUEUED,
    Verdict.UNNEEDED: BuildState.UNNEEDED,
    Verdict.IMPOSSIBLE: BuildState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One request on one platform, decided.

    cools_until: None where it may be built at once
    """

    request: Request
    project: Project
    platform: Platform
    decision: Decision
    sdist: UpstreamFile | None
    policy: BuildPolicy
    cools_until: datetime | None
    now: datetime

    @property
    def sdist_id(self) -> int | None:
        """None where the release has none."""
        return self.sdist.id if self.sdist is not None else None


def insert(session: Session, wish: Wish, *, build_number: int = 0) -> None:
    """Make the build; it is scored with all that its project has, at the end."""
    state, reason, not_before = _STATE_OF[wish.decision.verdict], wish.decision.reason, None
    if state is BuildState.QUEUED and wish.cools_until is not None:
        state, reason, not_before = BuildState.WAITING, _cooldown_reason(wish), wish.cools_until
    builds.insert(
        session,
        Build(
            project_id=wish.project.id,
            version=str(wish.decision.version),
            platform=str(wish.platform),
            build_number=build_number,
            sdist_id=wish.sdist_id,
            policy=wish.policy,
            state=state,
            reason=reason,
            origin=wish.request.origin,
            not_before=not_before,
            created_at=wish.now,
            changed_at=wish.now,
        ),
    )
    log.info("%s %s on %s: %s: %s", wish.project.name, wish.decision.version, wish.platform, state, reason)


def adjust(session: Session, build: Build, wish: Wish) -> None:
    """Bring a build that is there in line with the decision."""
    was_impossible = build.sdist_id is None or build.reason.startswith(RULED_OUT)
    other_file = wish.sdist_id not in {None, build.sdist_id}
    build.policy = wish.policy
    build.origin = stronger(build.origin, wish.request.origin)
    if build.state in {*_NOT_BEGUN, BuildState.UNNEEDED, BuildState.FAILED} and wish.sdist_id is not None:
        build.sdist_id = wish.sdist_id
    if wish.request.extras or wish.request.dependencies == BuildPolicy.ALWAYS:
        build.followed_at = None  # it may need more than was looked at
    session.flush()
    if build.state == BuildState.WITHDRAWN:
        _bring_back(session, build, wish)
    elif wish.decision.verdict is Verdict.BUILD:
        if build.state == BuildState.UNNEEDED or (build.state == BuildState.FAILED and was_impossible):
            _queue(session, build, wish)
        elif build.state == BuildState.QUEUED and other_file:
            _cool(session, build, wish)
        elif build.state == BuildState.WAITING and cooldown.is_reason(build.reason):
            _cool_on(session, build, wish)
    elif wish.decision.verdict is Verdict.UNNEEDED:
        _spare(session, build, wish)
    elif wish.decision.reason.startswith(RULED_OUT) and build.state in _NOT_BEGUN:
        builds.move(session, build, BuildState.FAILED, reason=wish.decision.reason)


def _queue(session: Session, build: Build, wish: Wish) -> None:
    builds.move(session, build, BuildState.QUEUED, reason=wish.decision.reason, not_before=None, followed_at=None)
    _cool(session, build, wish)


def _cool(session: Session, build: Build, wish: Wish) -> None:
    """A build that is queued waits for the end of its cooldown, if that is to come."""
    if wish.cools_until is not None:
        builds.move(session, build, BuildState.WAITING, reason=_cooldown_reason(wish), not_before=wish.cools_until)


def _cool_on(session: Session, build: Build, wish: Wish) -> None:
    """A build that cools down may do so longer or shorter now; or a person wants it at once."""
    if wish.cools_until is None:
        builds.move(session, build, BuildState.QUEUED, reason=wish.decision.reason)
    elif build.not_before != wish.cools_until:
        build.not_before, build.reason = wish.cools_until, _cooldown_reason(wish)
        session.flush()


def _cooldown_reason(wish: Wish) -> str:
    assert wish.sdist is not None and wish.cools_until is not None  # noqa: S101, PT018 - only a file cools down
    return cooldown.reason(wish.sdist.filename, uploaded_at=uploaded_at(wish.sdist), ends_at=wish.cools_until)


def uploaded_at(sdist: UpstreamFile) -> datetime:
    """As the index says it; but the farm first saw it then, so it was not later, whatever the index says."""
    return min(sdist.uploaded_at or sdist.seen_at, sdist.seen_at)


def _spare(session: Session, build: Build, wish: Wish) -> None:
    """Do not build what is there already, unless it is a person's rebuild."""
    if build.build_number:
        return
    if build.state in {*_NOT_BEGUN, BuildState.FAILED}:
        builds.move(session, build, BuildState.UNNEEDED, reason=wish.decision.reason, not_before=None)
    elif build.state == BuildState.UNNEEDED:
        build.reason = wish.decision.reason


def _bring_back(session: Session, build: Build, wish: Wish) -> None:
    """The upstream has the release again; what a person withdrew stays withdrawn.

    A build that was published once takes the next number: its file name is taken for ever (A-11).
    """
    if not build.reason.startswith(TAKEN_BACK) or wish.decision.verdict is Verdict.IMPOSSIBLE:
        return
    if build.wheels:
        insert(session, wish, build_number=build.build_number + 1)
        return
    build.sdist_id = wish.sdist_id
    session.flush()
    _queue(session, build, wish)
    if wish.decision.verdict is Verdict.UNNEEDED:
        _spare(session, build, wish)
