"""What can be said where there is no build: of the project as a whole, and of what was asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from schema.db.models import Project, Request
from schema.db.why import crew
from schema.db.why.answers import Answer, Said, answered, clause, ended, moment
from schema.db.why.nearest import nearest
from schema.db.why.reasons import Actor, Reason
from schema.db.why.surroundings import BACKFILL, Scene

NO_VERSION_FITS = "no version fits"

# What the planner writes where no version can be had, and what that means.
_PROBLEMS = (
    (NO_VERSION_FITS, Reason.NO_VERSION, Actor.REQUESTER),
    ("lists no files", Reason.NO_FILES, Actor.UPSTREAM),
    ("it needs Python", Reason.PYTHON, Actor.REQUESTER),
    ("gives no sha256", Reason.NO_DIGEST, Actor.UPSTREAM),
    ("it is yanked", Reason.YANKED_UPSTREAM, Actor.UPSTREAM),
    ("neither a source distribution nor", Reason.NO_SOURCE, Actor.UPSTREAM),
    ("no source distribution", Reason.NO_SOURCE, Actor.UPSTREAM),
)
_PLATFORM = r"[a-z0-9]+-[a-z0-9_]+-cp3\d{1,2}"


def blocked(project: Project, *, platform: str, known: bool, scene: Scene) -> list[Answer]:
    """What keeps the whole project from being built, if something does.

    known: whether the upstream ever had it
    """
    if project.status == "missing" and known:
        text = f"The upstream index has no project {project.name} any more, so the farm neither builds nor serves it."
        return [_of_project(Said(Reason.DELETED, Actor.UPSTREAM, text), project, "missing", platform)]
    if project.status == "missing":
        why = f" ({clause(project.status_reason, otherwise='')})" if project.status_reason else ""
        text = f"The upstream index has no project {project.name}{why}: is the name spelt right?"
        return [_of_project(Said(Reason.MISTYPED, Actor.REQUESTER, text), project, "missing", platform)]
    if project.status == "quarantined":
        why = clause(project.status_reason, otherwise="it gives no reason")
        text = f"Upstream has quarantined the project, so the farm neither builds nor serves it: {why}."
        return [_of_project(Said(Reason.QUARANTINED, Actor.UPSTREAM, text), project, "quarantined", platform)]
    if project.errors:
        return [_of_project(_upstream_error(project, scene), project, "upstream-error", platform)]
    return []


def notes(project: Project, *, platform: str) -> list[Answer]:
    """What upstream says about the project, which keeps nothing from being built."""
    if project.status not in {Reason.ARCHIVED, Reason.DEPRECATED}:
        return []
    why = f" ({clause(project.status_reason, otherwise='')})" if project.status_reason else ""
    text = f"Upstream marks the project as {project.status}{why}: what it has is built all the same."
    return [_of_project(Said(Reason(project.status), Actor.NOBODY, text), project, project.status, platform)]


def unrequested(wish: str, platform: str) -> Answer:
    """Nobody asked for it, and the command that does.

    wish: as ``wheelfarm request`` takes it, such as ``name==version``
    """
    option = f" --platform {platform}" if platform else ""
    where = f" on {platform}" if platform else ""
    text = f"Nobody has asked for {wish}{where} yet: `wheelfarm request {shlex.quote(wish)}{option}` does."
    return answered(Said(Reason.UNREQUESTED, Actor.REQUESTER, text), state="unrequested", platform=platform)


def impossible(wish: str, platform: str, *, problem: str, specifier: str, versions: Sequence[str]) -> Answer:
    """No version can be had, whoever asks.

    problem: as the planner tells it; versions: what upstream lists
    """
    reason, actor, why = _meaning(problem, specifier, versions)
    said = Said(reason, actor, f"{wish} cannot be had on {platform}: {ended(why)}")
    return answered(said, state="unresolved", platform=platform)


def about_request(project: Project, platform: str, request: Request, scene: Scene) -> Answer:
    """What became of a request that has no build."""
    wish = f"{project.name}{f'[{request.extras}]' if request.extras else ''}{request.specifier}"
    because = f" ({clause(request.because, otherwise='')})" if request.because else ""
    asked = f"{wish} was requested on {moment(request.created_at)}{because}"
    problem = problem_on(request.problem, platform)
    if problem:
        reason, actor, why = _meaning(problem, request.specifier, scene.versions)
        said = Said(reason, actor, f"{asked}, but {ended(why)}")
    elif request.resolved_at is None:
        said = _undecided(project, asked, scene)
    else:
        said = _without_build(asked, platform, scene)
    state = "requested" if said.actor is Actor.FARM or said.reason is Reason.NO_LEADER else "unresolved"
    return answered(said, state=state, platform=platform, since=request.created_at)


def _meaning(problem: str, specifier: str, versions: Sequence[str]) -> tuple[Reason, Actor, str]:
    """What the planner's *problem* means, who must act, and how it is told."""
    reason, actor = next(
        ((found, actor) for text, found, actor in _PROBLEMS if text in problem), (Reason.UNRESOLVED, Actor.REQUESTER)
    )
    if reason is Reason.NO_VERSION and (others := nearest(specifier, versions)):
        problem = f"{problem.partition(';')[0]}; {others}"
    return reason, actor, problem


def problem_on(problem: str, platform: str) -> str:
    """What is in a request's way on *platform*; where platforms differ, the planner names each before its own."""
    own = re.search(rf"(?:^|; ){re.escape(platform)}: (.*?)(?=; {_PLATFORM}: |$)", problem) if platform else None
    if own is not None:
        return own[1]
    return "" if platform and re.match(rf"{_PLATFORM}: ", problem) else problem


def _undecided(project: Project, asked: str, scene: Scene) -> Said:
    if text := crew.no_leader(scene):
        return Said(Reason.NO_LEADER, Actor.OPERATOR, f"{asked}, but {text}.")
    if project.checked_at is None:
        return Said(Reason.UNREAD, Actor.FARM, f"{asked}; the farm has yet to read its page at the upstream index.")
    return Said(Reason.UNDECIDED, Actor.FARM, f"{asked}; the farm has yet to decide what to build for it.")


def _without_build(asked: str, platform: str, scene: Scene) -> Said:
    mark = scene.marks.get(BACKFILL)
    if mark is not None and mark.total and mark.finished_at is None:
        share = f"{100 * min(mark.done / mark.total, 1):.0f} %"
        text = f"{asked}; the farm plans {platform} in the background, and has come to {share} of the projects."
        return Said(Reason.BACKFILL, Actor.FARM, text)
    text = (
        f"{asked}, but the farm has planned nothing for {platform or 'it'}: do `farm.platforms` in farm.toml name it?"
    )
    return Said(Reason.UNRESOLVED, Actor.OPERATOR, text)


def _upstream_error(project: Project, scene: Scene) -> Said:
    times = "once" if project.errors == 1 else f"{project.errors} times in a row"
    why = clause(project.error, otherwise="no reason was recorded")
    later = project.check_at > scene.now
    next_look = f"the next look is at {moment(project.check_at)}" if later else "the next look is due now"
    text = f"The upstream index failed {times} ({why}): {next_look}."
    return Said(Reason.UPSTREAM_ERROR, Actor.FARM, text, until=project.check_at if later else None)


def _of_project(said: Said, project: Project, state: str, platform: str) -> Answer:
    return answered(said, state=state, platform=platform, since=project.checked_at)
