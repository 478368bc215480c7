"""One sentence for each state of a build: why it is there, and who must act. Pure functions of what was read."""

from __future__ import annotations

from collections.abc import Callable

from schema.db.answers import Actor, Answer, Scene, Sentence, current_step, ended, moment, span
from schema.db.crew import since, why_queued
from schema.db.models import Attempt, Build
from schema.printable import one_line
from schema.states import AttemptOutcome, BuildState, FailureClass


def about(build: Build, scene: Scene) -> Answer:
    """Why *build* is in its state."""
    sentence, actor = _SENTENCES[BuildState(build.state)](build, scene)
    earlier = _served_meanwhile(build, scene)
    return Answer(
        platform=build.platform,
        version=build.version,
        state=build.state,
        sentence=one_line(f"{sentence} {earlier}".strip(), limit=1000),
        actor=actor,
        build_id=build.id,
    )


def _published(build: Build, scene: Scene) -> Sentence:
    wheel = next((item for item in scene.wheels if item.build_id == build.id), None)
    if wheel is None:
        return "Published.", Actor.NOBODY
    text = f"Published as {wheel.filename} on {moment(wheel.published_at)}."
    if wheel.removed_at is not None:
        text += f" Removed on {moment(wheel.removed_at)}: {ended(wheel.removed_because or 'no reason was given')}"
    elif wheel.yanked is not None:
        text += f" It is yanked, as upstream's release is: {ended(wheel.yanked or 'no reason was given')}"
    return text, Actor.NOBODY


def _unneeded(build: Build, _scene: Scene) -> Sentence:
    return f"Not built: {ended(build.reason or 'upstream has a wheel that this platform can use')}", Actor.NOBODY


def _waiting(build: Build, scene: Scene) -> Sentence:
    reason = build.reason or "the farm has yet to decide about it"
    if build.not_before is not None and build.not_before > scene.now:
        return f"Waits until {moment(build.not_before)}: {ended(reason)}", Actor.FARM
    return f"Waits: {ended(reason)}", Actor.FARM


def _queued(build: Build, scene: Scene) -> Sentence:
    last = scene.last_attempt(build)
    if build.not_before is not None and build.not_before > scene.now:
        reason = build.reason or (_why_failed(last) if last is not None else "")
        return f"Pauses until {moment(build.not_before)}: {ended(reason or 'then it is tried again')}", Actor.FARM
    return why_queued(build, scene)


def _leased(build: Build, scene: Scene) -> Sentence:
    if build.lease_until is not None and build.lease_until < scene.now:
        node = next((item for item in scene.nodes if item.name == build.leased_to), None)
        silent = since(node) if node is not None else f"silent since {moment(build.lease_until)}"
        return f"Was given to {build.leased_to}, which is {silent}: the farm gives it to a node again.", Actor.FARM
    begun = build.leased_at or build.changed_at
    step = current_step(scene.last_attempt(build))
    at = f", now at step “{step}”" if step else ""
    passed = span((scene.now - begun).total_seconds())
    return f"Being built on {build.leased_to} for {passed}{at}{_nth(build, scene)}.", Actor.FARM


def _collecting(build: Build, _scene: Scene) -> Sentence:
    return f"Built on {build.leased_to}: the master is fetching and checking the result.", Actor.FARM


def _failed(build: Build, scene: Scene) -> Sentence:
    last = scene.last_attempt(build)
    if last is None or last.failure_class is None:
        return f"Failed: {ended(build.reason or 'no reason was recorded')}", Actor.UPSTREAM
    actor, advice = _ADVICE[FailureClass(last.failure_class)]
    next_step = advice.format(retry=f"`wheelfarm retry {build.id}`", name=build.project.name)
    why = _why_failed(last)
    if build.reason.startswith(f"{FailureClass.REQUIREMENT}: needs "):  # by the master, which knows more than the log
        why = one_line(build.reason, limit=500).rstrip(".")
    return f"Failed on {last.node} ({why}){_nth(build, scene)}. {next_step}", actor


def _held(build: Build, _scene: Scene) -> Sentence:
    return f"Held: {ended(build.reason or 'by an operator')} `wheelfarm retry {build.id}` releases it.", Actor.OPERATOR


def _poisoned(build: Build, scene: Scene) -> Sentence:
    lost = [item.node for item in scene.attempts.get(build.id, ()) if item.outcome == AttemptOutcome.LOST]
    nodes = f" with {', '.join(sorted(set(lost)))}" if lost else ""
    text = f"Set aside: it was lost {len(lost) or 'too many'} times{nodes}, so it may be what takes nodes down."
    return f"{text} A person must look at its log; `wheelfarm retry {build.id}` tries again.", Actor.OPERATOR


def _withdrawn(build: Build, _scene: Scene) -> Sentence:
    return f"Withdrawn: {ended(build.reason or 'no reason was recorded')}", Actor.NOBODY


_SENTENCES: dict[BuildState, Callable[[Build, Scene], Sentence]] = {
    BuildState.PUBLISHED: _published,
    BuildState.UNNEEDED: _unneeded,
    BuildState.WAITING: _waiting,
    BuildState.QUEUED: _queued,
    BuildState.LEASED: _leased,
    BuildState.COLLECTING: _collecting,
    BuildState.FAILED: _failed,
    BuildState.HELD: _held,
    BuildState.POISONED: _poisoned,
    BuildState.WITHDRAWN: _withdrawn,
}

_RECIPE = "A recipe may help (recipes/{name}.toml); {retry} tries again."
_LIMIT = "If it needs more, raise the limit in farm.toml, then {retry}."

# Who can do something about each class of failure, and what.
_ADVICE: dict[FailureClass, tuple[Actor, str]] = {
    FailureClass.BUILD: (Actor.OPERATOR, _RECIPE),
    FailureClass.SDIST: (Actor.UPSTREAM, "Only a new release upstream can help."),
    FailureClass.BACKEND: (Actor.UPSTREAM, "The project's own build settings are broken; only a new release can help."),
    FailureClass.REQUIREMENT: (Actor.OPERATOR, "Once the farm serves that requirement, {retry} tries again."),
    FailureClass.NETWORK: (
        Actor.UPSTREAM,
        "No network is there while a project's code runs; a recipe may bring what it loads.",
    ),
    FailureClass.MEMORY: (Actor.OPERATOR, _LIMIT),
    FailureClass.PROCESSES: (Actor.OPERATOR, _LIMIT),
    FailureClass.DISK: (Actor.OPERATOR, _LIMIT),
    FailureClass.LOG: (Actor.OPERATOR, _LIMIT),
    FailureClass.TIMEOUT: (Actor.OPERATOR, _LIMIT),
    FailureClass.SILENCE: (Actor.OPERATOR, _LIMIT),
    FailureClass.WHEEL: (Actor.OPERATOR, "The wheel is not safe to serve as it is. " + _RECIPE),
    FailureClass.IMPORT: (Actor.OPERATOR, "It built, but does not work. " + _RECIPE),
    FailureClass.NODE: (Actor.OPERATOR, "Mend the node, then {retry}."),
    FailureClass.LOST: (Actor.OPERATOR, "Look at the node, then {retry}."),
    FailureClass.CANCELLED: (Actor.OPERATOR, "Somebody stopped it; {retry} tries again."),
}


def _why_failed(attempt: Attempt) -> str:
    # The line of the log that says why tells a person more than that a step failed.
    message = one_line(attempt.evidence or attempt.message, limit=300).rstrip(".")
    return f"{attempt.failure_class}: {message}" if message else f"{attempt.failure_class}"


def _nth(build: Build, scene: Scene) -> str:
    count = len(scene.attempts.get(build.id, ()))
    return f", attempt {count}" if count > 1 else ""


def _served_meanwhile(build: Build, scene: Scene) -> str:
    """An earlier build's wheel stays while a rebuild is under way or has failed."""
    if build.state in {BuildState.PUBLISHED, BuildState.UNNEEDED} or not build.build_number:
        return ""
    earlier = [
        wheel.filename
        for wheel in scene.wheels
        if wheel.project_id == build.project_id
        and wheel.version == build.version
        and wheel.build_id != build.id
        and wheel.removed_at is None
        and wheel.build.platform == build.platform
    ]
    return f"Meanwhile {earlier[-1]} of an earlier build is served." if earlier else ""
