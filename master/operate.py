"""What people have the farm do with releases and nodes: request, rebuild, drain …; each leaves a row of audit."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import select
from sqlalchemy.orm import Session

from master import audit, builds, rebuilds, repeats, requests, undecided
from master.webhooks import events
from master.wishes import Wish
from schema import names
from schema.causes import REMOVED
from schema.db.models import Build, Node, Project, Wheel
from schema.db.session import now
from schema.errors import UsageError
from schema.names import NodeName
from schema.platforms import Platform
from schema.sections import FarmSection
from schema.states import GONE, BuildPolicy, BuildState, NodeState


def request(
    session: Session,
    wish: Wish,
    *,
    platforms: Sequence[Platform],
    policy: BuildPolicy | None,
    farm: FarmSection,
    who: str,
) -> None:
    """Ask for a project, and for all that its wheels need.

    platforms: () for those of the wish, else all that the farm builds for; policy: None for that of the wish, else the
    farm's
    """
    requests.add(
        session,
        wish.requirement,
        platforms=platforms or wish.platforms,
        farm_platforms=farm.platforms,
        policy=policy or wish.build or farm.build,
        dependencies=wish.dependencies or farm.build,
    )
    audit.note(
        session,
        who=who,
        action="request",
        subject=f"project {names.project_name(wish.requirement.name)}",
        after={"requirement": str(wish.requirement), "platforms": [str(item) for item in platforms]},
    )


def rebuild(
    session: Session, name: NormalizedName, version: Version, platform: Platform | None, *, who: str
) -> list[Build]:
    """Queue a release again under the next build number (A-11), on every platform that has it, or the one named."""
    return [_again(session, build, who=who) for build in _newest(session, name, version, platform)]


def repeat(
    session: Session, name: NormalizedName, version: Version, platform: Platform | None, *, who: str
) -> list[Build]:
    """Queue a release once more only to compare (``master.repeats``), where ``rebuild`` would."""
    found = _newest(session, name, version, platform)
    for build in found:
        _expect(build, BuildState.PUBLISHED)
    return [repeats.ask(session, build, who=who) for build in found]


def _newest(session: Session, name: NormalizedName, version: Version, platform: Platform | None) -> list[Build]:
    query = (
        select(Build)
        .join(Build.project)
        .where(
            Project.name == name, Build.version == str(version), Build.sdist_id.is_not(None), Build.build_number >= 0
        )
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
    return list(newest.values())


def _again(session: Session, build: Build, *, who: str) -> Build:
    _expect(build, BuildState.PUBLISHED, BuildState.UNNEEDED)
    reason = f"built again for {who}, after build {build.id}"
    return rebuilds.again(session, build, origin="person", reason=reason, who=who)


def _expect(build: Build, *states: BuildState) -> None:
    if build.state not in states:
        raise UsageError(
            f"build {build.id} of {build.project.name} {build.version} is {build.state}, not published",
            advice=f"wheelfarm retry {build.id}",
        )


def remove(session: Session, name: NormalizedName, version: Version | None, *, who: str, reason: str) -> list[Wheel]:
    """Take wheels off the index for good: the names stay taken (I-22), the builds are withdrawn."""
    query = select(Wheel).join(Project).where(Project.name == name, Wheel.removed_at.is_(None))
    if version is not None:
        query = query.where(Wheel.version == str(version))
    found = list(session.scalars(query))
    if not found:
        raise UsageError(f"the farm has no wheel of {name}{f' {version}' if version else ''}")
    for wheel in found:
        take_off(session, wheel, who=who, reason=reason)
    return found


def take_off(session: Session, wheel: Wheel, *, who: str, reason: str) -> None:
    """Take one wheel off the index for good; its name stays taken (I-22), its build is withdrawn."""
    wheel.removed_at, wheel.removed_because = now(session), reason
    builds.touch_page(session, wheel.project_id)
    events.wheel_withdrawn(session, wheel)
    # Elsewhere a build may have been unneeded because this wheel served it.
    undecided.again(session, wheel.project_id)
    audit.note(
        session,
        who=who,
        action="remove",
        subject=f"build {wheel.build_id}",
        before={"wheel": wheel.filename},
        after={"wheel": None},
        reason=reason,
    )
    if wheel.build.state == BuildState.PUBLISHED:
        builds.move(session, wheel.build, BuildState.WITHDRAWN, reason=f"{REMOVED}{reason}")


def drain(session: Session, name: NodeName, *, who: str, reason: str) -> Node:
    """Give a node no new builds; it ends those it has."""
    node = _node(session, name)
    if node.state == NodeState.QUARANTINED:
        raise UsageError(f"node {name} is quarantined: {node.state_reason}", advice=f"wheelfarm node resume {name}")
    return _set(session, node, NodeState.DRAINING, who=who, action="drain", reason=reason)


def quarantine(session: Session, name: NodeName, *, who: str, reason: str) -> Node:
    """Give a node no new builds because a person does not trust it for now; it ends those it has."""
    return _set(session, _node(session, name), NodeState.QUARANTINED, who=who, action="quarantine", reason=reason)


def resume(session: Session, name: NodeName, *, who: str) -> Node:
    """Give a node builds again, also one that was set aside because its results were refused.

    One that was never let in begins its probation anew.
    """
    node = _node(session, name)
    state = NodeState.ACTIVE
    if node.probation_since is not None:
        node.probation_since, state = now(session), NodeState.PROBATION
    return _set(session, node, state, who=who, action="resume", reason="")


def _set(session: Session, node: Node, state: NodeState, *, who: str, action: str, reason: str) -> Node:
    before = {"state": node.state, "reason": node.state_reason}
    node.state, node.state_reason = state, reason
    after = {"state": state, "reason": reason}
    audit.note(session, who=who, action=action, subject=f"node {node.name}", before=before, after=after, reason=reason)
    return node


def _node(session: Session, name: NodeName) -> Node:
    node = session.get(Node, name, with_for_update=True)
    if node is None:
        raise UsageError(f"there is no node {name}", advice="wheelfarm node list names them")
    if node.state in GONE:
        raise UsageError(f"node {name} is {node.state}", advice="wheelfarm node enrol takes it back")
    return node
