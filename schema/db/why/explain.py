"""Why a project's wheels are, or are not, there: the answers of ``wheelfarm why`` and of the project's page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import parse_tag
from packaging.utils import NormalizedName
from packaging.version import InvalidVersion, Version
from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db.models import Build, Project, Request, UpstreamFile, Wheel
from schema.db.why import asked
from schema.db.why.answers import Answer, Said, answered
from schema.db.why.reasons import Actor, Reason
from schema.db.why.sentences import about
from schema.db.why.surroundings import Rules, Scene, scene
from schema.errors import UnknownPlatformError
from schema.platforms import Platform

_MOST_UNMET = 5


def why(
    session: Session,
    project_name: NormalizedName,
    *,
    rules: Rules,
    version: Version | None = None,
    platform: Platform | None = None,
    platforms: Sequence[Platform] = (),
) -> list[Answer]:
    """One answer for each version on each platform, the newest version first; about the project itself first of all.

    version, platform: answers for this one only
    platforms: what the farm builds for; platforms that have neither build nor request of the project are told about too
    """
    project = session.scalar(select(Project).where(Project.name == project_name))
    only, pinned = str(platform or ""), str(version or "")
    wish = _wish(project_name, pinned)
    if project is None:
        return [asked.unrequested(wish, only)]
    builds = _newest_builds(session, project, version)
    requests = _requests(session, project, version)
    found = replace(
        scene(session, builds, projects=[project.id], rules=rules), versions=_listed(session, project, requests)
    )
    about_all = asked.blocked(project, platform=only, known=_ever_listed(session, project), scene=found)
    blocked = bool(about_all)
    answers = [*about_all, *asked.notes(project, platform=only)]
    for name in [only] if only else _platforms(builds, requests, platforms):
        here = [build for build in builds if build.platform == name]
        covering = [item for item in requests if item.platform in {"", name}]
        answers += [about(build, found) for build in here]
        if pinned and not here:
            covering = _still_asking(session, project, name, covering)
        if not here:
            answers += _without_builds(project, name, pinned, covering=covering, scene=found, blocked=blocked)
        elif not blocked:
            answers += [asked.about_request(project, name, item, found) for item in _unmet(covering, here)]
    return answers or [asked.unrequested(wish, only)]


def newest_first(versions: Iterable[str]) -> list[str]:
    """The different versions, the newest first; what is no version comes last."""
    return sorted(set(versions), key=_order, reverse=True)


def serves(wheel: Wheel, platform: Platform) -> bool:
    """Whether an installer on *platform*, reading its view of the index, would take *wheel*."""
    if wheel.removed_at is not None or wheel.view not in {None, platform.view}:
        return False
    return any(not platform.tags.isdisjoint(parse_tag(tag)) for tag in wheel.tags.split())


def _newest_builds(session: Session, project: Project, version: Version | None) -> list[Build]:
    """Of each version on each platform the build with the highest number, the newest version first."""
    wanted = select(Build).where(Build.project_id == project.id).order_by(Build.build_number)
    if version is not None:
        wanted = wanted.where(Build.version == str(version))
    newest = {(build.version, build.platform): build for build in session.scalars(wanted)}
    return sorted(newest.values(), key=lambda build: (_order(build.version), build.platform), reverse=True)


def _requests(session: Session, project: Project, version: Version | None) -> list[Request]:
    """The project's; those that a *version* would meet, where one is named."""
    rows = session.scalars(select(Request).where(Request.project_id == project.id).order_by(Request.id))
    return [item for item in rows if version is None or _fits(item.specifier, [str(version)])]


def _still_asking(session: Session, project: Project, platform: str, requests: Sequence[Request]) -> list[Request]:
    """Those that the build of another version has not met already: a request gets the newest that fits, not each."""
    wanted = select(Build.version).where(Build.project_id == project.id, Build.platform == platform)
    built = session.scalars(wanted).all()
    return [
        item
        for item in requests
        if item.every_release or item.problem or item.resolved_at is None or not _fits(item.specifier, built)
    ]


def _listed(session: Session, project: Project, requests: Sequence[Request]) -> Sequence[str]:
    """The versions that upstream lists, where a request met none of them."""
    if not any(asked.NO_VERSION_FITS in item.problem for item in requests):
        return ()
    wanted = select(UpstreamFile.version).where(UpstreamFile.project_id == project.id, UpstreamFile.gone_at.is_(None))
    return session.scalars(wanted.distinct()).all()


def _ever_listed(session: Session, project: Project) -> bool:
    """Whether the upstream ever listed a file of it; looked up only where that matters."""
    if project.status != "missing":
        return True
    files = select(UpstreamFile.id).where(UpstreamFile.project_id == project.id).limit(1)
    return session.scalar(files) is not None


def _order(version: str) -> tuple[bool, Version, str]:
    try:
        return (True, Version(version), "")
    except InvalidVersion:
        return (False, Version("0"), version)


def _platforms(builds: Sequence[Build], requests: Sequence[Request], farm: Sequence[Platform]) -> list[str]:
    names = {build.platform for build in builds} | {item.platform for item in requests} | {str(item) for item in farm}
    return sorted(names - {""})


def _wish(name: str, version: str) -> str:
    return f"{name}=={version}" if version else name


def _without_builds(
    project: Project, platform: str, version: str, *, covering: Sequence[Request], scene: Scene, blocked: bool
) -> list[Answer]:
    """Of a platform that has no build of the project: who serves it, or what became of the request."""
    if served := _served(platform, version, scene):
        return served
    if not covering:
        return [] if blocked else [asked.unrequested(_wish(project.name, version), platform)]
    troubled = next((item for item in reversed(covering) if asked.problem_on(item.problem, platform)), None)
    if troubled is None and blocked:
        return []
    return [asked.about_request(project, platform, troubled or covering[-1], scene)]


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


def _served(platform: str, version: str, scene: Scene) -> list[Answer]:
    """The newest version whose wheel, built for another platform, is taken here too."""
    try:
        here = Platform.parse(platform)
    except UnknownPlatformError:
        return []
    fitting = [wheel for wheel in scene.wheels if serves(wheel, here) and version in {"", wheel.version}]
    if not fitting:
        return []
    newest = max(fitting, key=lambda wheel: (_order(wheel.version), wheel.published_at))
    text = f"Served by {newest.filename}, which was built on {newest.build.platform} and fits here too."
    return [
        answered(
            Said(Reason.SERVED, Actor.NOBODY, text),
            state="served",
            platform=platform,
            version=newest.version,
            since=newest.published_at,
            build_id=newest.build_id,
        )
    ]
