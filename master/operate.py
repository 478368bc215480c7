"""What a person asks the farm to do: retry, rebuild, remove; let a node drain, or take it back."""

from __future__ import annotations

from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from master import builds, resolve, undecided
from schema.db.models import Build, Node, Project, Wheel
from schema.db.session import now
from schema.errors import UsageError
from schema.names import NodeName
from schema.platforms import Platform
from schema.states import BuildPolicy, BuildState

_RETRIABLE = frozenset({BuildState.FAILED, BuildState.POISONED, BuildState.HELD, BuildState.WITHDRAWN})


def retry(session: Session, build_id: int) -> Build:
    """Queue a build again that failed, was poisoned or held; earlier attempts no longer count against it."""
    build = session.get(Build, build_id)
    if build is None:
        raise UsageError(f"there is no build {build_id}", advice="wheelfarm builds lists them")
    if build.state not in _RETRIABLE:
        raise UsageError(
            f"build {build_id} is {build.state}: only what failed can be tried again",
            advice=f"wheelfarm rebuild {build.project.name}=={build.version} builds it anew",
        )
    if build.sdist_id is None:
        raise UsageError(f"build {build_id} has no source distribution to build from")
    builds.move(
        session, build, BuildState.QUEUED, reason="a person asked for it", pardoned_fence=build.fence, not_before=None
    )
    return build


def rebuild(session: Session, name: NormalizedName, version: Version, platform: Platform | None) -> list[Build]:
    """Queue a release again under the next build number (A-11), on every platform that has it, or the one named."""
    query = (
        select(Build)
        .join(Build.project)
        .where(Project.name == name, Build.version == str(version), Build.sdist_id.is_not(None))
        .order_by(Build.platform, Build.build_number.desc())
    )
    if platform is not None:
        query = query.where(Build.platform == str(platform))
    newest: dict[str, Build] = {}
    for build in session.scalars(query):
        newest.setdefault(build.platform, build)
    if not newest:
        raise UsageError(
            f"{name} {version} was never built{f' for {platform}' if platform else ''}",
            advice=f"wheelfarm request {name}=={version}",
        )
    return [_again(session, build) for build in newest.values()]


def _again(session: Session, build: Build) -> Build:
    highest = session.scalars(
        select(func.max(Build.build_number)).where(Build.project_id == build.project_id, Build.version == build.version)
    ).one()
    if build.state not in {BuildState.PUBLISHED, BuildState.UNNEEDED}:
        raise UsageError(
            f"build {build.id} of {build.project.name} {build.version} is {build.state}, not published",
            advice=f"wheelfarm retry {build.id}",
        )
    moment = now(session)
    again = Build(
        project_id=build.project_id,
        version=build.version,
        platform=build.platform,
        build_number=highest + 1,
        sdist_id=build.sdist_id,
        policy=BuildPolicy.ALWAYS,
        state=BuildState.QUEUED,
        reason=f"a person asked to build it again after build {build.id}",
        score=resolve.POINTS["person"],
        created_at=moment,
        changed_at=moment,
        followed_at=moment,
    )
    return builds.insert(session, again)


def remove(session: Session, name: NormalizedName, version: Version | None, *, reason: str) -> list[Wheel]:
    """Take wheels off the index for good: the names stay taken (I-22), the builds are withdrawn."""
    query = select(Wheel).join(Project).where(Project.name == name, Wheel.removed_at.is_(None))
    if version is not None:
        query = query.where(Wheel.version == str(version))
    found = list(session.scalars(query))
    if not found:
        raise UsageError(f"the farm has no wheel of {name}{f' {version}' if version else ''}")
    for wheel in found:
        wheel.removed_at, wheel.removed_because = now(session), reason
        builds.touch_page(session, wheel.project_id)
        if wheel.build.state == BuildState.PUBLISHED:
            builds.move(session, wheel.build, BuildState.WITHDRAWN, reason=f"removed: {reason}")
    # Elsewhere a build may have been unneeded because one of these wheels served it.
    undecided.again(session, found[0].project_id)
    return found


def drain(session: Session, name: NodeName, *, reason: str) -> Node:
    """Give a node no new builds; it ends those it has."""
    node = _node(session, name)
    if node.state == "quarantined":
        raise UsageError(f"node {name} is quarantined: {node.state_reason}", advice=f"wheelfarm node resume {name}")
    node.state, node.state_reason = "draining", reason
    return node


def resume(session: Session, name: NodeName) -> Node:
    """Give a node builds again, also one that was set aside because its results were refused."""
    node = _node(session, name)
    node.state, node.state_reason = "active", ""
    return node


def _node(session: Session, name: NodeName) -> Node:
    node = session.get(Node, name)
    if node is None:
        raise UsageError(f"there is no node {name}", advice="wheelfarm node list names them")
    return node
