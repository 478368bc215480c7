"""Builds that wait for a time: a release that cools down, a pause after a failed attempt."""

from __future__ import annotations

from schema import cooldown
from schema.causes import AGAIN_AFTER
from schema.db.models import Attempt, Build
from schema.db.why.answers import Said, clause, ended, moment, span
from schema.db.why.reasons import Actor, Reason
from schema.db.why.surroundings import Scene
from schema.states import RETRY, FailureClass


def waits_for_time(build: Build, scene: Scene) -> Said:
    """Until when the build waits, and why."""
    if build.not_before is None:
        why = build.reason or "the farm has yet to decide about it"
        return Said(Reason.WAITING, Actor.FARM, f"Waits: {ended(why)}")
    return paused(build, scene) or Said(Reason.DUE, Actor.FARM, "Its pause is over, so the farm queues it now.")


def paused(build: Build, scene: Scene) -> Said | None:
    """What holds the build until a time that is still to come; None where nothing does."""
    if build.not_before is None or build.not_before <= scene.now:
        return None
    last = scene.last_attempt(build)
    left = span((build.not_before - scene.now).total_seconds())
    if cooldown.is_reason(build.reason) or (last is None and not build.reason.startswith(AGAIN_AFTER)):
        own = build.reason.partition(" UTC: ")[2] if cooldown.is_reason(build.reason) else build.reason
        why = clause(own, otherwise="its release is young")
        text = f"Cools down until {moment(build.not_before)}, {left} from now ({why})"
        command = f"`wheelfarm release --now {build.id}` builds it at once"
        return Said(Reason.COOLDOWN, Actor.FARM, f"{text}; {command}.", until=build.not_before)
    text = f"{_attempt(build, last, scene)} failed ({_why(build, last)}): the next may begin at"
    return Said(Reason.PAUSE, Actor.FARM, f"{text} {moment(build.not_before)}, in {left}.", until=build.not_before)


def _why(build: Build, last: Attempt | None) -> str:
    """The reason of a build that was released meanwhile tells of that; then the attempt tells why it failed."""
    if last is None or build.reason.startswith(AGAIN_AFTER):
        return clause(build.reason.removeprefix(AGAIN_AFTER), otherwise="no reason was recorded")
    return clause(f"{last.failure_class}: {last.evidence or last.message}", otherwise="no reason was recorded")


def _attempt(build: Build, last: Attempt | None, scene: Scene) -> str:
    """Which one that was: as ``RETRY`` counts, those that failed in the same class."""
    if last is None:
        return f"Attempt {max(build.fence, 1)}"
    attempts = scene.attempts.get(build.id, ())
    same = [
        item
        for item in attempts
        if item.failure_class == last.failure_class and item.fence > (build.pardoned_fence or 0)
    ]
    failure = next((item for item in FailureClass if item == last.failure_class), None)
    most = RETRY[failure].retries + 1 if failure else 0
    return f"Attempt {len(same)} of {most} on {last.node}" if 0 < len(same) <= most else f"An attempt on {last.node}"
