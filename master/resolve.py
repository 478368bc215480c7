"""Turn requests into builds: what is wanted becomes, by the decisions of ``plan``, a row for each platform.

Safe to repeat: what runs, what is published and what a person decided is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag
from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from master import adjust, plan
from master.adjust import Wish, uploaded_at
from master.catalogue import listed_files
from master.plan import Built, Choice, Decision, Verdict
from master.requests import stronger
from master.withdraw import blocked_by, withdraw_lost
from schema import recipe_files
from schema.causes import RULED_OUT
from schema.cooldown import Cooldown
from schema.db import scoring
from schema.db.models import Build, Project, Request, UpstreamFile, Wheel
from schema.errors import SettingsError, UnknownPlatformError
from schema.platforms import Platform
from schema.recipes import Rule, applicable, ruled_out
from schema.simple.read import File
from schema.states import BuildPolicy, BuildState

log = logging.getLogger(__name__)

_NO_COOLDOWN = Cooldown()


def resolve_project(
    session: Session,
    project_id: int,
    *,
    platforms: Sequence[Platform],
    now: datetime,
    cooldown: Cooldown = _NO_COOLDOWN,
    recipe_folders: Sequence[Path] = (),
) -> None:
    """Resolve every request of a project that is still to be resolved.

    platforms: what the farm builds for, where a request names none
    recipe_folders: the operator's, before the shipped ones
    """
    project = session.get(Project, project_id)
    if project is None:  # a mistyped name that clients asked for, forgotten meanwhile
        return
    requests = session.scalars(select(Request).where(Request.project_id == project_id).order_by(Request.id)).all()
    withdraw_lost(session, project, requests, now)
    scene = _look_around(session, project, cooldown, recipe_folders)
    for request in requests:
        if request.resolved_at is None:
            _resolve(session, request, scene, platforms=platforms, now=now)
    scoring.rescore_project(session, project_id)


def built(wheel: Wheel) -> Built:
    """A published wheel as ``plan`` sees it."""
    tags = frozenset(tag for text in wheel.tags.split() for tag in parse_tag(text))
    return Built(filename=wheel.filename, version=Version(wheel.version), tags=tags, view=wheel.view)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What there is of a project, upstream and here.

    sdists: the rows of source distributions, by file name
    removed: version and platform → a wheel that a person took off the index
    rules: what people know of it
    """

    project: Project
    files: Sequence[File]
    sdists: dict[str, UpstreamFile]
    built: Sequence[Built]
    removed: dict[tuple[str, str], Wheel]
    cooldown: Cooldown
    rules: Sequence[Rule]


def _look_around(session: Session, project: Project, cooldown: Cooldown, recipe_folders: Sequence[Path]) -> _Scene:
    sdists = select(UpstreamFile).where(UpstreamFile.project_id == project.id, UpstreamFile.kind == "sdist")
    wheels = session.scalars(select(Wheel).where(Wheel.project_id == project.id).options(joinedload(Wheel.build))).all()
    return _Scene(
        project=project,
        files=listed_files(session, project),
        sdists={row.filename: row for row in session.scalars(sdists)},
        built=[
            built(wheel) for wheel in wheels if wheel.removed_at is None and wheel.build.state == BuildState.PUBLISHED
        ],
        removed={(wheel.version, wheel.build.platform): wheel for wheel in wheels if wheel.removed_at is not None},
        cooldown=cooldown,
        rules=_rules(project, recipe_folders),
    )


def _rules(project: Project, folders: Sequence[Path]) -> Sequence[Rule]:
    try:
        return recipe_files.rules_for(NormalizedName(project.name), folders)
    except SettingsError:
        return ()  # its builds are held when they would be given out, and say what is wrong


def _resolve(
    session: Session, request: Request, scene: _Scene, *, platforms: Sequence[Platform], now: datetime
) -> None:
    problems: dict[str, str] = {}
    blocked = blocked_by(scene.project)
    for platform in [request.platform] if request.platform else map(str, platforms):
        try:
            reason = blocked or _resolve_on(session, request, scene, Platform.parse(platform), now)
            if request.every_release and not blocked:
                _resolve_releases(session, request, scene, Platform.parse(platform), now)
        except UnknownPlatformError as err:  # a request of an older farm
            reason = str(err)
        if reason:
            problems[platform] = reason
    request.problem = _told(problems)
    request.resolved_at = now
    if request.problem:
        log.warning("%s%s: %s", scene.project.name, request.specifier, request.problem)


def _told(problems: dict[str, str]) -> str:
    """One sentence where all platforms have the same problem, else one for each."""
    if len(set(problems.values())) == 1:
        return next(iter(problems.values()))
    return "; ".join(f"{platform}: {problem}" for platform, problem in problems.items())


def _resolve_releases(session: Session, request: Request, scene: _Scene, platform: Platform, now: datetime) -> None:
    """The same for each release that has a source distribution; one that cannot be built is no problem here."""
    fitting = SpecifierSet(request.specifier)
    versions = {file.version for file in scene.files if file.kind == "sdist" and file.yanked is None}
    for version in sorted(fitting.filter(versions), reverse=True):
        _resolve_on(session, request, scene, platform, now, specifier=f"=={version}")


def _resolve_on(
    session: Session, request: Request, scene: _Scene, platform: Platform, now: datetime, *, specifier: str = ""
) -> str:
    """Make or move the build of the version that fits; return what is in its way, or "".

    specifier: instead of the request's own
    """
    choice = plan.choose(scene.files, specifier=SpecifierSet(specifier or request.specifier), platform=platform)
    build = _newest_build(session, scene.project, choice.version, platform)
    policy = stronger(request.policy, build.policy) if build else BuildPolicy(request.policy)
    decision = _decision(choice, scene, platform, policy, now)
    if decision.version is None:
        return decision.reason
    removed = scene.removed.get((str(decision.version), str(platform)))
    if removed is not None and decision.verdict is Verdict.BUILD:
        return f"{removed.filename} was removed here: {removed.removed_because or 'no reason was given'}"
    sdist = scene.sdists[decision.sdist.filename] if decision.sdist else None
    wish = Wish(
        request=request,
        project=scene.project,
        platform=platform,
        decision=decision,
        sdist=sdist,
        policy=policy,
        cools_until=_cools_until(request, scene, sdist, now),
        now=now,
    )
    if build is None:
        adjust.insert(session, wish)
    else:
        adjust.adjust(session, build, wish)
    return decision.reason if decision.verdict is Verdict.IMPOSSIBLE else ""


def _decision(choice: Choice, scene: _Scene, platform: Platform, policy: BuildPolicy, now: datetime) -> Decision:
    """What ``plan`` decides, and what people's rules make of it."""
    rules: Sequence[Rule] = ()
    if choice.version is not None:
        rules = applicable(scene.rules, version=choice.version, platform=platform, today=now.date())
    if any(rule.use_upstream_wheel for rule in rules):
        policy = BuildPolicy.MISSING
    decision = plan.judge(choice, platform=platform, policy=policy, built=scene.built)
    if decision.verdict is Verdict.BUILD and (why := ruled_out(rules)):
        return replace(decision, verdict=Verdict.IMPOSSIBLE, reason=f"{RULED_OUT}{why}")
    return decision


def _cools_until(request: Request, scene: _Scene, sdist: UpstreamFile | None, now: datetime) -> datetime | None:
    """None where the file may be built at once: it is old enough, or a person chose it."""
    pinned = request.origin == "list" and plan.is_pinned(SpecifierSet(request.specifier))
    if sdist is None or request.origin == "person" or pinned:
        return None
    ends_at = scene.cooldown.ends_at(scene.project.name, uploaded_at(sdist))
    return ends_at if ends_at > now else None


def _newest_build(session: Session, project: Project, version: Version | None, platform: Platform) -> Build | None:
    return session.scalar(
        select(Build)
        .where(Build.project_id == project.id, Build.version == str(version), Build.platform == str(platform))
        .order_by(Build.build_number.desc())
        .limit(1)
    )
