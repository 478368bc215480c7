"""Why a project's wheels are, or are not, there: the answers of ``wheelfarm why`` and of the project's page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import parse_tag
from packaging.utils import NormalizedName
from packaging.version import InvalidVersion, Version
from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload, load_only

from schema.db import counts
from schema.db.answers import Actor, Answer, Scene, ended, moment
from schema.db.models import Attempt, Build, Node, Project, Request, Wheel
from schema.db.sentences import about
from schema.db.session import now
from schema.errors import UnknownPlatformError
from schema.platforms import Platform
from schema.printable import one_line
from schema.states import BuildState

__all__ = ["Actor", "Answer", "about", "newest_first", "scene", "serves", "why"]

_MOST_UNMET = 5


def why(
    session: Session,
    project_name: NormalizedName,
    *,
    platform: Platform | None = None,
    platforms: Sequence[Platform] = (),
    silent_s: float = 90.0,
) -> list[Answer]:
    """One answer for each version on each platform, the newest version first; about the project itself first of all.

    platform: answers for this one only
    platforms: what the farm builds for; platforms that have neither build nor request of the project are told about too
    """
    project = session.scalar(select(Project).where(Project.name == project_name))
    asked = str(platform) if platform is not None else ""
    if project is None:
        return [_unrequested(project_name, asked)]
    builds = _newest_builds(session, project)
    requests = list(session.scalars(select(Request).where(Request.project_id == project.id).order_by(Request.id)))
    found = scene(session, builds, projects=[project.id], silent_s=silent_s)
    wanted = [asked] if asked else _platforms(builds, requests, platforms)
    answers = _about_project(project, asked, found)
    blocked = bool(answers)
    for name in wanted:
        here = [build for build in builds if build.platform == name]
        covering = [item for item in requests if item.platform in {"", name}]
        answers += [about(build, found) for build in here]
        if not here:
            answers += _without_builds(project, name, covering=covering, scene=found, blocked=blocked)
        elif not blocked:
            answers += [_about_request(project, name, item) for item in _unmet(covering, here)]
    return answers or [_unrequested(project.name, asked)]


def scene(session: Session, builds: Sequence[Build], *, projects: Sequence[int] = (), silent_s: float = 90.0) -> Scene:
    """What the sentences about *builds* need, in five queries however many builds they are.

    projects: ids of projects whose wheels are wanted too, whichever build made them
    """
    ids = [build.id for build in builds]
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    columns = load_only(
        Attempt.build_id,
        Attempt.fence,
        Attempt.node,
        Attempt.outcome,
        Attempt.failure_class,
        Attempt.message,
        Attempt.evidence,
        Attempt.started_at,
        Attempt.finished_at,
        Attempt.steps,
    )
    for attempt in session.scalars(
        select(Attempt).options(columns).where(Attempt.build_id.in_(ids)).order_by(Attempt.fence)
    ):
        attempts[attempt.build_id].append(attempt)
    of_projects = {
        *projects,
        *(build.project_id for build in builds if build.state == BuildState.PUBLISHED or build.build_number),
    }
    wheels = (
        select(Wheel)
        .options(joinedload(Wheel.build))
        .where(Wheel.project_id.in_(of_projects))
        .order_by(Wheel.published_at)
    )
    leased = select(Build.leased_to, func.count()).where(Build.state == BuildState.LEASED).group_by(Build.leased_to)
    return Scene(
        now=now(session),
        nodes=list(session.scalars(select(Node).order_by(Node.name))),
        busy={str(name): count for name, count in session.execute(leased)},
        queued=counts.by_platform(session, BuildState.QUEUED),
        attempts=attempts,
        wheels=list(session.scalars(wheels)),
        silent_s=silent_s,
    )


def newest_first(versions: Iterable[str]) -> list[str]:
    """The different versions, the newest first; what is no version comes last."""
    return sorted(set(versions), key=_order, reverse=True)


def serves(wheel: Wheel, platform: Platform) -> bool:
    """Whether an installer on *platform*, reading its view of the index, would take *wheel*."""
    if wheel.removed_at is not None or wheel.view not in {None, platform.view}:
        return False
    return any(not platform.tags.isdisjoint(parse_tag(tag)) for tag in wheel.tags.split())


def _newest_builds(session: Session, project: Project) -> list[Build]:
    """Of each version on each platform the build with the highest number, the newest version first."""
    rows = session.scalars(select(Build).where(Build.project_id == project.id).order_by(Build.build_number))
    newest = {(build.version, build.platform): build for build in rows}
    return sorted(newest.values(), key=lambda build: (_order(build.version), build.platform), reverse=True)


def _order(version: str) -> tuple[bool, Version, str]:
    try:
        return (True, Version(version), "")
    except InvalidVersion:
        return (False, Version("0"), version)


def _platforms(builds: Sequence[Build], requests: Sequence[Request], farm: Sequence[Platform]) -> list[str]:
    names = {build.platform for build in builds} | {item.platform for item in requests} | {str(item) for item in farm}
    return sorted(names - {""})


def _about_project(project: Project, platform: str, scene: Scene) -> list[Answer]:
    """What keeps the whole project from being built."""

    def answer(state: str, sentence: str, actor: Actor) -> list[Answer]:
        return [
            Answer(platform=platform, version="", state=state, sentence=one_line(sentence, limit=1000), actor=actor)
        ]

    if project.status == "missing":
        reason = f" ({project.status_reason})" if project.status_reason else ""
        return answer(
            "missing",
            f"The upstream index has no project {project.name}{reason}; is the name spelt right?",
            Actor.REQUESTER,
        )
    if project.status == "quarantined":
        reason = ended(project.status_reason or "it gives no reason")
        return answer(
            "quarantined",
            f"Upstream has quarantined the project, so the farm neither builds nor serves it: {reason}",
            Actor.UPSTREAM,
        )
    if project.errors:
        times = "once" if project.errors == 1 else f"{project.errors} times in a row"
        next_look = (
            f"next look at {moment(project.check_at)}" if project.check_at > scene.now else "the next look is due now"
        )
        return answer(
            "upstream-error",
            f"The upstream index failed {times} ({project.error.strip().rstrip('.') or 'no reason'}); {next_look}.",
            Actor.FARM,
        )
    return []


def _without_builds(
    project: Project, platform: str, *, covering: Sequence[Request], scene: Scene, blocked: bool
) -> list[Answer]:
    """Of a platform that has no build of the project: who serves it, or what became of the request."""
    if served := _served(platform, scene):
        return served
    if not covering:
        return [] if blocked else [_unrequested(project.name, platform)]
    troubled = next((item for item in reversed(covering) if item.problem), None)
    if troubled is None and blocked:
        return []
    return [_about_request(project, platform, troubled or covering[-1])]


def _unmet(covering: Sequence[Request], builds: Sequence[Build]) -> list[Request]:
    """The newest requests of a few ranges that no build fits."""
    versions = [build.version for build in builds]
    by_range = {item.specifier: item for item in covering if not _fits(item.specifier, versions)}
    return list(by_range.values())[-_MOST_UNMET:]


def _fits(specifier: str, versions: Sequence[str]) -> bool:
    try:
        return any(SpecifierSet(specifier).contains(version, prereleases=True) for version in versions)
    except (InvalidSpecifier, InvalidVersion):
        return False


def _about_request(project: Project, platform: str, request: Request) -> Answer:
    """What became of a request that has no build."""
    wish = f"{project.name}{f'[{request.extras}]' if request.extras else ''}{request.specifier}"
    because = f" ({request.because})" if request.because else ""
    asked = f"{wish} was requested on {moment(request.created_at)}{because}"
    if request.problem:
        text, state, actor = f"{asked}, but {ended(request.problem)}", "unresolved", Actor.REQUESTER
    elif request.resolved_at is None and project.checked_at is None:
        text, state, actor = (
            f"{asked}; the farm has not yet read its page at the upstream index.",
            "requested",
            Actor.FARM,
        )
    elif request.resolved_at is None:
        text, state, actor = f"{asked}; the farm has not yet decided what to build for it.", "requested", Actor.FARM
    else:
        text, state, actor = (
            f"{asked}, but the farm does not build it for this platform.",
            "unresolved",
            Actor.REQUESTER,
        )
    return Answer(platform=platform, version="", state=state, sentence=one_line(text, limit=1000), actor=actor)


def _served(platform: str, scene: Scene) -> list[Answer]:
    """The newest version whose wheel, built for another platform, is taken here too."""
    try:
        here = Platform.parse(platform)
    except UnknownPlatformError:
        return []
    fitting = [wheel for wheel in scene.wheels if serves(wheel, here)]
    if not fitting:
        return []
    newest = max(fitting, key=lambda wheel: (_order(wheel.version), wheel.published_at))
    return [
        Answer(
            platform=platform,
            version=newest.version,
            state="served",
            sentence=one_line(
                f"Served by {newest.filename}, which was built on {newest.build.platform} and fits here too."
            ),
            actor=Actor.NOBODY,
            build_id=newest.build_id,
        )
    ]


def _unrequested(name: str, platform: str) -> Answer:
    option = f" --platform {platform}" if platform else ""
    where = f" on {platform}" if platform else ""
    return Answer(
        platform=platform,
        version="",
        state="unrequested",
        sentence=f"Nobody has asked for {name}{where} yet: `wheelfarm request {name}{option}` does.",
        actor=Actor.REQUESTER,
    )
