"""Builds that ended, or that a person or the upstream stopped."""

from __future__ import annotations

from schema import causes
from schema.db.models import AuditEntry, Build, Wheel
from schema.db.why.answers import Said, clause, ended, moment
from schema.db.why.reasons import Actor, Reason
from schema.db.why.surroundings import Scene
from schema.printable import one_line
from schema.states import AttemptOutcome

# What the master records of an upstream that took a release back, and what that means.
_TAKEN_BACK = (
    ("is quarantined", Reason.WITHDRAWN_QUARANTINED),
    ("is yanked", Reason.WITHDRAWN_YANKED),
    ("has other bytes", Reason.WITHDRAWN_REPLACED),
)


def published(build: Build, scene: Scene) -> Said:
    """Its file, and whether the index offers it."""
    wheel = _wheel(build, scene)
    if wheel is None:
        return Said(Reason.PUBLISHED, Actor.NOBODY, "Published.")
    text = f"Published as {wheel.filename} on {moment(wheel.published_at)}"
    sdist = scene.sdist(build)
    if wheel.removed_at is not None:
        return Said(Reason.REMOVED, Actor.NOBODY, f"{text}, and removed on {_removed(wheel)}")
    if sdist is not None and sdist.gone_at is not None:
        gone = f"upstream has not listed {sdist.filename} since {moment(sdist.gone_at)}"
        return Said(Reason.HIDDEN, Actor.UPSTREAM, f"{text}, but hidden, for {gone}; it comes back with it.")
    if wheel.yanked is not None:
        why = clause(wheel.yanked, otherwise="no reason was given")
        return Said(Reason.YANKED, Actor.NOBODY, f"{text}, and yanked as upstream's release is: {ended(why)}")
    return Said(Reason.PUBLISHED, Actor.NOBODY, f"{text}.")


def unneeded(build: Build, _scene: Scene) -> Said:
    """What makes it unneeded."""
    why = clause(build.reason, otherwise="upstream has a wheel that this platform can use", limit=600)
    if build.reason.startswith(causes.UNASKED):
        command = f"`wheelfarm request {build.project.name}=={build.version}` asks for it"
        return Said(Reason.UNASKED, Actor.REQUESTER, f"Not built, for {why}; {command}.")
    if "same bytes" in why or "very bytes" in why:
        return Said(Reason.REPEATED, Actor.NOBODY, f"Built, and {why}.")
    if " serves it" in why:
        return Said(Reason.SERVED, Actor.NOBODY, f"Not built, for {why}.")
    if why.startswith("upstream has "):
        return Said(Reason.UPSTREAM_WHEEL, Actor.NOBODY, f"Not built, for {why}.")
    return Said(Reason.UNNEEDED, Actor.NOBODY, f"Not built, for {why}.")


def held(build: Build, scene: Scene) -> Said:
    """Who or what holds it."""
    release = f"`wheelfarm release {build.id}` lets it go on"
    if build.reason.startswith(causes.FAULTY_RECIPE):
        why = clause(build.reason.removeprefix(causes.FAULTY_RECIPE), otherwise="it cannot be read")
        return Said(
            Reason.HELD_RECIPE, Actor.OPERATOR, f"Held, for its recipe is faulty ({why}): mend it, then {release}."
        )
    entry = scene.person(build, "hold", "cancel")
    why = clause(entry.reason if entry else build.reason, otherwise="no reason was given")
    if entry is not None and entry.action == "cancel":
        return Said(Reason.CANCELLED, Actor.OPERATOR, f"Cancelled{_by(entry)} ({why}): {release}.")
    return Said(Reason.HELD, Actor.OPERATOR, f"Held{_by(entry)} ({why}): {release}.")


def poisoned(build: Build, scene: Scene) -> Said:
    """Which nodes it was lost with."""
    attempts = scene.attempts.get(build.id, ())
    lost = [item.node for item in attempts if item.outcome == AttemptOutcome.LOST]
    nodes = f" with {', '.join(sorted(set(lost)))}" if lost else ""
    text = f"Set aside, for it was lost {len(lost) or 'too many'} times{nodes} and may be what takes nodes down"
    command = f"look at its log (`wheelfarm log {build.id}`), then `wheelfarm retry {build.id}`"
    return Said(Reason.POISONED, Actor.OPERATOR, f"{text}: {command}.")


def withdrawn(build: Build, scene: Scene) -> Said:
    """Who took it back: the upstream, a person, or the farm itself."""
    retry = f"`wheelfarm retry {build.id}` builds it again"
    if build.reason.startswith(causes.TAKEN_BACK):
        why = clause(build.reason.removeprefix(causes.TAKEN_BACK), otherwise="it is gone")
        reason = next((found for text, found in _TAKEN_BACK if text in why), Reason.WITHDRAWN_DELETED)
        return Said(reason, Actor.UPSTREAM, f"Withdrawn, for upstream took it back: {ended(why)}")
    if build.reason.startswith(causes.REMOVED):
        why = clause(build.reason.removeprefix(causes.REMOVED), otherwise="no reason was given")
        entry = scene.person(build, "remove")
        by = _by(entry) if entry is not None else f" here by a person on {moment(build.changed_at)}"
        return Said(Reason.REMOVED, Actor.NOBODY, f"Removed{by} ({why}); {retry}.")
    if build.reason.startswith(causes.DAMAGED):
        why = clause(build.reason.removeprefix(causes.DAMAGED), otherwise="it was")
        return Said(Reason.DAMAGED, Actor.OPERATOR, f"Withdrawn, for a stored file of it was damaged ({why}); {retry}.")
    why = clause(build.reason, otherwise="no reason was recorded")
    return Said(Reason.WITHDRAWN, Actor.OPERATOR, f"Withdrawn ({why}); {retry}.")


def meanwhile(build: Build, scene: Scene) -> str:
    """What is served, or is not, while the build is under way or after it failed; "" where that goes without saying."""
    if build.state in {"published", "unneeded", "withdrawn"}:
        return ""
    own = _wheel(build, scene)
    if own is not None and own.removed_at is not None and own.removed_because.startswith(causes.DAMAGED):
        return f"Meanwhile {own.filename} is not served: it was found damaged on {moment(own.removed_at)}."
    if not build.build_number:
        return ""
    earlier = [wheel.filename for wheel in scene.wheels if _is_earlier(wheel, build)]
    return f"Meanwhile {earlier[-1]} of an earlier build is served." if earlier else ""


def _is_earlier(wheel: Wheel, build: Build) -> bool:
    return (
        (wheel.project_id, wheel.version, wheel.build.platform) == (build.project_id, build.version, build.platform)
        and wheel.build_id != build.id
        and wheel.removed_at is None
    )


def _wheel(build: Build, scene: Scene) -> Wheel | None:
    """The build's own; of several the one that is still offered."""
    own = scene.made.get(build.id, ())
    return next((wheel for wheel in own if wheel.removed_at is None), next(iter(own), None))


def _removed(wheel: Wheel) -> str:
    assert wheel.removed_at is not None  # noqa: S101 - for mypy
    return f"{moment(wheel.removed_at)}: {ended(wheel.removed_because or 'no reason was given')}"


def _by(entry: AuditEntry | None) -> str:
    return f" by {one_line(entry.who, limit=80)} on {moment(entry.at)}" if entry is not None else ""
