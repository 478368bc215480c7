"""Builds that wait for another one: how that one stands, at the end of the chain, is said in the same sentence."""

from __future__ import annotations

from collections.abc import Callable

from schema.db.models import Build
from schema.db.why import crew, pauses
from schema.db.why.answers import Said, clause, moment
from schema.db.why.chains import Link, chain
from schema.db.why.reasons import Actor, Reason
from schema.db.why.surroundings import Scene
from schema.states import BuildState

Standing = tuple[str, Actor]


def waits_for_another(build: Build, scene: Scene) -> Said:
    """What the build waits for, and what that waits for."""
    path, circle = chain(build, scene.links)
    if not path:
        return Said(Reason.REQUIREMENT, Actor.FARM, f"It {clause(build.reason, otherwise='waits for another build')}.")
    first, *others = [_named(link) for link in path]
    names = ", which waits for ".join([f"{first} on this platform", *others])
    if circle:
        text = f"Waits for {names}: they wait for each other, and the farm is about to give up one of them."
        return Said(Reason.CIRCLE, Actor.FARM, text)
    standing, actor = _standing(path[-1], scene)
    return Said(Reason.REQUIREMENT, actor, f"Waits for {names}, which {standing}.")


def _named(link: Link) -> str:
    return f"{link.project.name} {link.build.version}" if link.build is not None else link.project.name


def _standing(link: Link, scene: Scene) -> Standing:
    """The end of "which …"."""
    if link.build is not None:
        return _STANDING.get(BuildState(link.build.state), _is_over)(link.build, scene)
    if link.project.checked_at is None:
        return "the farm has yet to look up at the upstream index", Actor.FARM
    return "the farm has yet to plan", Actor.FARM


def _is_waiting(build: Build, scene: Scene) -> Standing:
    if build.waits_for is not None:
        return "waits for others in turn", Actor.FARM
    said = pauses.waits_for_time(build, scene)
    if said.until is None:
        return "is about to queue", said.actor
    verb = "cools down until" if said.reason is Reason.COOLDOWN else "failed once and is tried again at"
    return f"{verb} {moment(said.until)}", said.actor


def _is_queued(build: Build, scene: Scene) -> Standing:
    said = crew.queued(build, scene)
    return f"is q{said.text[1:].rstrip('.')}", said.actor


def _is_set_aside(build: Build, _scene: Scene) -> Standing:
    return f"is {build.state} until a person acts: `wheelfarm why {build.project.name}` says more", Actor.OPERATOR


def _is_over(build: Build, _scene: Scene) -> Standing:
    return f"is {build.state} by now", Actor.FARM


_STANDING: dict[BuildState, Callable[[Build, Scene], Standing]] = {
    BuildState.WAITING: _is_waiting,
    BuildState.QUEUED: _is_queued,
    BuildState.LEASED: lambda build, _: (f"is being built on {build.leased_to}", Actor.FARM),
    BuildState.COLLECTING: lambda build, _: (f"was built on {build.leased_to} and is being checked", Actor.FARM),
    BuildState.HELD: _is_set_aside,
    BuildState.POISONED: _is_set_aside,
}
