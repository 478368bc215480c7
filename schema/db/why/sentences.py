"""One sentence for each state of a build: why it is there, and who must act. Pure functions of what was read."""

from __future__ import annotations

from collections.abc import Callable

from schema.db.models import Build, Node
from schema.db.why import crew, decided, failures, pauses, waited
from schema.db.why.answers import Answer, Said, answered, current_step, moment, span
from schema.db.why.reasons import Actor, Reason
from schema.db.why.surroundings import Scene
from schema.states import BuildState


def about(build: Build, scene: Scene) -> Answer:
    """Why *build* is in its state."""
    said = _SENTENCES[BuildState(build.state)](build, scene)
    meanwhile = decided.meanwhile(build, scene)
    return answered(
        said._replace(text=f"{said.text} {meanwhile}".strip()),
        state=build.state,
        platform=build.platform,
        version=build.version,
        since=build.changed_at,
        build_id=build.id,
    )


def _waiting(build: Build, scene: Scene) -> Said:
    if build.waits_for is not None:
        return waited.waits_for_another(build, scene)
    return pauses.waits_for_time(build, scene)


def _leased(build: Build, scene: Scene) -> Said:
    node = next((item for item in scene.nodes if item.name == build.leased_to), None)
    if build.lease_until is not None and build.lease_until < scene.now:
        text = f"Was given to {build.leased_to}, {_last_heard(node, build)}: the farm gives it to a node again."
        return Said(Reason.LEASE_OVER, Actor.FARM, text)
    if node is not None and build.lease_until is not None and scene.is_silent(node):
        text = f"Was given to {node.name}, {_last_heard(node, build)}: unless it speaks until"
        text = f"{text} {moment(build.lease_until)}, the farm gives the build to a node again."
        return Said(Reason.NODE_SILENT, Actor.FARM, text, until=build.lease_until)
    return Said(Reason.BUILDING, Actor.FARM, f"Being built on {build.leased_to}{_progress(build, scene)}.")


def _last_heard(node: Node | None, build: Build) -> str:
    if node is not None:
        return f"which is {crew.silence(node)}"
    return (
        "which the farm does not know any more"
        if build.lease_until is None
        else f"silent since {moment(build.lease_until)}"
    )


def _progress(build: Build, scene: Scene) -> str:
    """For how long, at which step, which attempt, and how long it usually takes."""
    begun = build.leased_at or build.changed_at
    step = current_step(scene.last_attempt(build))
    attempts = len(scene.attempts.get(build.id, ()))
    parts = [
        f" for {span((scene.now - begun).total_seconds())}",
        f", now at step “{step}”" if step else "",
        f", attempt {attempts}" if attempts > 1 else "",
        f", usually done in {span(build.expected_s)}" if build.expected_s else "",
    ]
    return "".join(parts)


def _collecting(build: Build, _scene: Scene) -> Said:
    text = f"Built on {build.leased_to}: the master is fetching and checking the result."
    return Said(Reason.CHECKING, Actor.FARM, text)


_SENTENCES: dict[BuildState, Callable[[Build, Scene], Said]] = {
    BuildState.PUBLISHED: decided.published,
    BuildState.UNNEEDED: decided.unneeded,
    BuildState.WAITING: _waiting,
    BuildState.QUEUED: crew.queued,
    BuildState.LEASED: _leased,
    BuildState.COLLECTING: _collecting,
    BuildState.FAILED: failures.failed,
    BuildState.HELD: decided.held,
    BuildState.POISONED: decided.poisoned,
    BuildState.WITHDRAWN: decided.withdrawn,
}
