"""How people steer builds: hold, release, cancel, try again, move forward; each leaves a row in the audit trail.

A build is kept from others from the moment it is looked at, so that nothing happens to it between look and change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from master import audit, builds, needs
from master.which import Which, fitting
from schema.db import scoring
from schema.db.models import Build
from schema.db.session import now
from schema.errors import UsageError
from schema.jobs import Lease
from schema.score import MOST_BOOST
from schema.states import LEASED_STATES, OPEN_STATES, AttemptOutcome, BuildState, FailureClass

_MAY_BE_HELD = frozenset({BuildState.WAITING, BuildState.QUEUED, BuildState.FAILED, BuildState.POISONED})
_RETRIABLE = frozenset({BuildState.FAILED, BuildState.POISONED, BuildState.HELD, BuildState.WITHDRAWN})
_MAY_COME_FIRST = OPEN_STATES | {BuildState.HELD, BuildState.FAILED, BuildState.POISONED}


def hold(session: Session, which: Which, *, who: str, reason: str = "") -> list[Build]:
    """Keep builds from being given out: ``held by WHO: REASON``. A pause that runs goes on after a release."""
    found = fitting(session, which, _is(_MAY_BE_HELD), doing="hold", advice=_how_to_hold)
    moment = now(session)
    for build in found:
        before = _shown(build)
        rest = build.not_before if _lies_ahead(build, moment) else None
        _moved(session, build, BuildState.HELD, reason=_by("held", who, reason), not_before=rest)
        _note(session, build, before, who=who, action="hold", reason=reason)
    return found


def release(session: Session, which: Which, *, who: str, at_once: bool = False) -> list[Build]:
    """Let held builds go on where they stood: ``released by WHO``.

    at_once: also builds that pause or cool down, and without the rest of that time; what waits for another build still
        waits
    """
    moment = now(session)

    def fits(build: Build) -> bool:
        pauses = build.state == BuildState.WAITING and build.not_before is not None
        return build.state == BuildState.HELD or (at_once and pauses)

    found = fitting(session, which, fits, doing="release", advice=_how_to_release)
    for build in found:
        before = _shown(build)
        reason = f"released by {who}"
        if build.needs and build.state == BuildState.HELD:
            needs.decide(session, build)
        elif _lies_ahead(build, moment) and not at_once:
            _moved(session, build, BuildState.WAITING, reason=reason, not_before=build.not_before)
        else:
            _moved(session, build, BuildState.QUEUED, reason=reason)
        _note(session, build, before, who=who, action="release")
    return found


def cancel(session: Session, which: Which, *, who: str, reason: str = "") -> list[Build]:
    """End the running attempt: the lease is over, so whatever its node still brings changes nothing.

    The build is held (``cancelled by WHO: REASON``); its node learns of it by the answer to its next heartbeat.
    """
    found = fitting(session, which, _is(LEASED_STATES), doing="cancel", advice=_how_to_cancel)
    for build in found:
        before = _shown(build)
        why = _by("cancelled", who, reason)
        builds.end_attempt(
            session,
            builds.attempt_of(session, Lease(build_id=build.id, fence=build.fence)),
            at=now(session),
            outcome=AttemptOutcome.CANCELLED,
            failure_class=FailureClass.CANCELLED,
            message=why,
        )
        _moved(session, build, BuildState.HELD, reason=why)
        _note(session, build, before, who=who, action="cancel", reason=reason)
    return found


def boost(session: Session, which: Which, *, by: float, who: str, reason: str = "") -> list[Build]:
    """Add *by* to the score of builds that are not done, for good; 0 takes back what people added."""
    if not math.isfinite(by) or abs(by) > MOST_BOOST:
        raise UsageError(f"{by:g} is no number of points from -{MOST_BOOST:.0f} to {MOST_BOOST:.0f}")
    found = fitting(session, which, _is(_MAY_COME_FIRST), doing="prioritise", advice=lambda _: None)
    for build in found:
        before = {"boost": build.boost}
        wanted = min(max(build.boost + by, -MOST_BOOST), MOST_BOOST) if by else 0.0
        build.score += wanted - build.boost
        build.boost = wanted
        session.flush()
        audit.note(
            session,
            who=who,
            action="priority",
            subject=f"build {build.id}",
            before=before,
            after={"boost": build.boost},
            reason=reason,
        )
    return found


def retry(session: Session, which: Which, *, who: str) -> list[Build]:
    """Queue builds again that failed, were poisoned, held or withdrawn; earlier attempts no longer count."""
    fit = fitting(session, which, _is(_RETRIABLE), doing="try again", advice=_how_to_retry)
    found = [build for build in fit if build.sdist_id is not None]
    if not found:
        raise UsageError(f"{which} has no source distribution to build from")
    for build in found:
        before = _shown(build)
        _moved(session, build, BuildState.QUEUED, reason=f"tried again for {who}", pardoned_fence=build.fence)
        _note(session, build, before, who=who, action="retry")
    return found


def _is(states: Collection[BuildState]) -> Callable[[Build], bool]:
    return lambda build: build.state in states


def _moved(session: Session, build: Build, to: BuildState, *, reason: str, **values: Any) -> None:  # noqa: ANN401
    """Move *build*; whoever loses a race is told."""
    if not builds.move(session, build, to, reason=reason, **values):
        session.refresh(build)
        raise UsageError(f"build {build.id} moved meanwhile: it is {build.state} now", advice="look again, then repeat")
    if to in scoring.SCORED:
        scoring.rescore(session, [build])


def _note(session: Session, build: Build, before: dict[str, str], *, who: str, action: str, reason: str = "") -> None:
    subject = f"build {build.id}"
    audit.note(session, who=who, action=action, subject=subject, before=before, after=_shown(build), reason=reason)


def _shown(build: Build) -> dict[str, str]:
    return {"state": build.state, "reason": build.reason}


def _by(done: str, who: str, reason: str) -> str:
    return f"{done} by {who}: {reason}" if reason else f"{done} by {who}"


def _lies_ahead(build: Build, moment: datetime) -> bool:
    return build.not_before is not None and build.not_before > moment


def _how_to_hold(build: Build) -> str | None:
    return f"wheelfarm cancel {build.id} ends it" if build.state in LEASED_STATES else None


def _how_to_release(build: Build) -> str | None:
    if build.state == BuildState.WAITING:
        return f"wheelfarm why {build.project.name} tells for what; --now ends a pause"
    return f"wheelfarm retry {build.id}" if build.state in {BuildState.FAILED, BuildState.POISONED} else None


def _how_to_cancel(build: Build) -> str | None:
    return f"wheelfarm hold {build.id} keeps it from being built" if build.state in _MAY_BE_HELD else None


def _how_to_retry(build: Build) -> str | None:
    if build.state == BuildState.WAITING:
        return f"wheelfarm release --now {build.id} ends a pause"
    done = build.state in {BuildState.PUBLISHED, BuildState.UNNEEDED}
    return f"wheelfarm rebuild {build.project.name}=={build.version} builds it anew" if done else None
