"""Builds that failed: the class, the line of the log that tells most, and what helps."""

from __future__ import annotations

from schema import causes
from schema.db.models import Attempt, Build
from schema.db.why.answers import Said, clause, ended
from schema.db.why.reasons import Actor, Reason
from schema.db.why.surroundings import Scene
from schema.states import FailureClass

_RECIPE = "a recipe may help (recipes/{name}.toml), then {retry}"
_PACKAGE = "add its Debian package to a recipe (recipes/{name}.toml), then {retry}"
_LIMIT = "if it needs more, raise the limit in farm.toml, then {retry}"

# Who can do something about each class of failure, and what.
_ADVICE: dict[FailureClass, tuple[Actor, str]] = {
    FailureClass.BUILD: (Actor.OPERATOR, _RECIPE),
    FailureClass.SDIST: (Actor.UPSTREAM, "only a new release upstream can help"),
    FailureClass.BACKEND: (Actor.UPSTREAM, "its own build settings are broken, so only a new release can help"),
    FailureClass.REQUIREMENT: (Actor.OPERATOR, "once that requirement can be had, {retry}"),
    FailureClass.REQUIREMENT_TOO_NEW: (
        Actor.OPERATOR,
        f"older build requirements may build it: add build constraints; {_RECIPE}",
    ),
    FailureClass.REQUIREMENT_TOO_OLD: (
        Actor.OPERATOR,
        f"newer build requirements may build it: mend its build constraints; {_RECIPE}",
    ),
    FailureClass.PYTHON_MODULE: (
        Actor.UPSTREAM,
        "it does not list that module as a build requirement, so only a new release can help",
    ),
    FailureClass.HEADER: (Actor.OPERATOR, f"that header is missing: {_PACKAGE}"),
    FailureClass.PKG_CONFIG: (Actor.OPERATOR, f"that module of pkg-config is missing: {_PACKAGE}"),
    FailureClass.PROGRAM: (Actor.OPERATOR, f"that program is missing: {_PACKAGE}"),
    FailureClass.LIBRARY: (Actor.OPERATOR, f"that library is missing: {_PACKAGE}"),
    FailureClass.LIBRARY_VERSION: (
        Actor.OPERATOR,
        "the image's version of that library does not fit: request another version, or build it on another image",
    ),
    FailureClass.COMPILER: (Actor.OPERATOR, f"that compiler is missing: {_PACKAGE}"),
    FailureClass.TOOLCHAIN: (
        Actor.OPERATOR,
        "the image's version of that tool does not fit: build it on another image, or request another version",
    ),
    FailureClass.INTERPRETER: (
        Actor.REQUESTER,
        "it is not for this Python: request another version, or another platform",
    ),
    FailureClass.TESTS: (Actor.OPERATOR, f"its own tests failed while it was built; {_RECIPE}"),
    FailureClass.SOURCE: (Actor.UPSTREAM, "its own code does not compile here, so only a new release can help"),
    FailureClass.NETWORK: (Actor.OPERATOR, f"no network is there while its code runs; {_RECIPE}"),
    FailureClass.MEMORY: (Actor.OPERATOR, _LIMIT),
    FailureClass.PROCESSES: (Actor.OPERATOR, _LIMIT),
    FailureClass.DISK: (Actor.OPERATOR, _LIMIT),
    FailureClass.LOG: (Actor.OPERATOR, _LIMIT),
    FailureClass.TIMEOUT: (Actor.OPERATOR, _LIMIT),
    FailureClass.SILENCE: (Actor.OPERATOR, _LIMIT),
    FailureClass.WHEEL: (Actor.OPERATOR, f"its wheel is not safe to serve as it is; {_RECIPE}"),
    FailureClass.IMPORT: (Actor.OPERATOR, f"it built, but does not work; {_RECIPE}"),
    FailureClass.NODE: (Actor.OPERATOR, "mend the node, then {retry}"),
    FailureClass.LOST: (Actor.OPERATOR, "look at the node, then {retry}"),
    FailureClass.CANCELLED: (Actor.OPERATOR, "it was stopped; {retry} tries again"),
}
_NEEDS = f"{FailureClass.REQUIREMENT}: needs "  # said by the master, which knows more than the log
_CIRCLE = f"{_NEEDS}itself"


def failed(build: Build, scene: Scene) -> Said:
    """Why the build failed, and what helps."""
    if build.reason.startswith(_NEEDS):
        return _without_requirement(build)
    if build.reason.startswith(causes.RULED_OUT):
        why = clause(build.reason.removeprefix(causes.RULED_OUT), otherwise="it gives no reason")
        text = f"Not built, for a rule says so ({why}): take the rule away, then {_retry(build)}."
        return Said(Reason.RULED_OUT, Actor.OPERATOR, text)
    last = scene.last_attempt(build)
    if build.sdist_id is None and last is None:
        why = clause(build.reason, otherwise="upstream has no source distribution of it")
        return Said(Reason.NO_SOURCE, Actor.UPSTREAM, f"Cannot be built: {why}.")
    if last is None or last.failure_class not in set(FailureClass):
        why = ended(build.reason or "no reason was recorded")
        return Said(Reason.FAILED, Actor.OPERATOR, f"Failed: {why} {_retry(build)} tries again.")
    failure = FailureClass(last.failure_class)
    actor, helps = _ADVICE[failure]
    tells = f"{failure}: {clause(last.evidence or last.message, otherwise='it left no message')}"
    if build.reason.startswith(causes.INSTEAD):
        other = build.reason.removeprefix(causes.INSTEAD).partition("; it failed with ")[0]
        text = (
            f"Failed on {last.node}{_nth(build, scene)} ({tells}); built instead: {clause(other, otherwise='another')}."
        )
        return Said(Reason.INSTEAD, Actor.NOBODY, text)
    text = f"Failed on {last.node}{_nth(build, scene)} ({tells}): {_filled(helps, build)}."
    return Said(Reason(f"failed-{failure}"), actor, text)


def advice(failure_class: FailureClass) -> tuple[Actor, str]:
    """Who can do something about a class of failures, and what; for any build of any project."""
    actor, text = _ADVICE[failure_class]
    return actor, text.format(retry="`wheelfarm retry BUILD`", name="NAME")


def _without_requirement(build: Build) -> Said:
    """It names the requirement, and why that cannot be had."""
    why = clause(build.reason.removeprefix(f"{FailureClass.REQUIREMENT}: "), otherwise="")
    if build.reason.startswith(_CIRCLE):
        text = f"Failed, for it {why}: a recipe may break the circle, then {_retry(build)}."
        return Said(Reason.CIRCLE, Actor.OPERATOR, text)
    then = "it is tried again with that" if build.waits_for is not None else f"then {_retry(build)}"
    text = f"Failed, for it {why}; {then}."
    return Said(Reason.REQUIREMENT_FAILED, Actor.OPERATOR, text)


def _filled(helps: str, build: Build) -> str:
    return helps.format(retry=_retry(build), name=build.project.name)


def _retry(build: Build) -> str:
    return f"`wheelfarm retry {build.id}`"


def _nth(build: Build, scene: Scene) -> str:
    attempts: list[Attempt] = list(scene.attempts.get(build.id, ()))
    return f", attempt {len(attempts)}" if len(attempts) > 1 else ""
