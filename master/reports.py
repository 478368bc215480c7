"""What operators ask the database: how the farm stands, which builds there are, which nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from packaging.utils import NormalizedName
from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager

from master import abi
from schema.db import counts, health, repeats
from schema.db.health import Feed, Leader, Walk
from schema.db.models import Build, Node, Project, Request, Wheel
from schema.errors import UsageError
from schema.platforms import Platform
from schema.states import BuildState
from schema.vitals import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmStatus:
    """The farm in figures.

    builds: by state, in the order of a build's life; states without builds are left out
    unresolved: requests not yet turned into builds; upstream_errors: projects whose last look failed
    abi: what was built with an older release of a project of ``plan.abi``
    feed, leader: None where the upstream was never asked, and where no master ever led
    walks: the long ones that are under way; alarms: the open ones; queued: platform → builds
    repeats: of the builds that were built once more: verdict → builds
    """

    projects: int
    unresolved: int
    abi: tuple[str, ...]
    upstream_errors: int
    builds: dict[str, int]
    wheels: int
    wheel_bytes: int
    last_published_at: datetime | None
    feed: Feed | None
    leader: Leader | None
    walks: tuple[Walk, ...]
    alarms: tuple[AlarmRow, ...]
    queued: dict[str, int]
    nodes: tuple[NodeRow, ...]
    repeats: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow:
    """An open alarm as operators see it."""

    name: str
    text: str
    raised_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node as operators see it.

    state: as in ``NodeState``; an active one that was not heard lately is ``silent``, one that may not build ``unfit``
    emulated: those of platforms that its own processor does not run
    troubles: what a person should do something about, each a sentence
    """

    name: str
    state: str
    platforms: tuple[str, ...]
    emulated: tuple[str, ...]
    slots: int
    busy: int
    heard_at: datetime | None
    version: str
    reason: str
    health: Health
    troubles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """A build as operators see it."""

    id: int
    project: str
    version: str
    platform: str
    build_number: int
    state: str
    attempts: int
    reason: str
    changed_at: datetime


def status(session: Session, *, silent_s: float) -> FarmStatus:
    """The whole farm; an active node that was not heard for *silent_s* seconds counts as silent."""
    here = Wheel.removed_at.is_(None)
    wheels, size, newest = session.execute(
        select(func.count(), func.coalesce(func.sum(Wheel.size_bytes), 0), func.max(Wheel.published_at)).where(here)
    ).one()
    return FarmStatus(
        projects=session.scalars(select(func.count()).select_from(Project)).one(),
        unresolved=session.scalars(
            select(func.count()).select_from(Request).where(Request.resolved_at.is_(None))
        ).one(),
        abi=tuple(abi.notes(session)),
        upstream_errors=session.scalars(select(func.count()).select_from(Project).where(Project.errors > 0)).one(),
        builds=counts.by_state(session),
        wheels=wheels,
        wheel_bytes=int(size),
        last_published_at=newest,
        feed=health.feed(session),
        leader=health.leader(session),
        walks=tuple(walk for walk in health.walks(session) if walk.share is not None),
        alarms=tuple(
            AlarmRow(name=row.name, text=row.text, raised_at=row.raised_at) for row in health.open_alarms(session)
        ),
        queued=counts.by_platform(session, BuildState.QUEUED),
        nodes=tuple(nodes(session, silent_s=silent_s)),
        repeats=repeats.figures(session),
    )


def nodes(session: Session, *, silent_s: float) -> list[NodeRow]:
    """Every node, by name."""
    held = select(Build.leased_to, func.count()).where(Build.state == BuildState.LEASED).group_by(Build.leased_to)
    busy = {str(name): count for name, count in session.execute(held)}
    found = session.scalars(select(Node).order_by(Node.name)).all()
    states = health.node_states(session, found, silent_s=silent_s)
    return [
        NodeRow(
            name=node.name,
            state=states[node.name],
            platforms=tuple(node.platforms or node.allowed_platforms),
            emulated=tuple(node.emulated),
            slots=node.slots,
            busy=busy.get(node.name, 0),
            heard_at=node.heard_at,
            version=node.version,
            reason=node.state_reason,
            health=(health_now := Health.read(node.health, node.disk_free_bytes)),
            troubles=tuple(filter(None, (node.unfit, *health_now.troubles().values()))),
        )
        for node in found
    ]


def builds(
    session: Session,
    *,
    states: Sequence[BuildState] = (),
    platform: Platform | None = None,
    project: NormalizedName | None = None,
    limit: int | None = None,
) -> list[BuildRow]:
    """The builds that fit, the latest change first."""
    query = select(Build).join(Build.project).options(contains_eager(Build.project)).order_by(Build.changed_at.desc())
    if states:
        query = query.where(Build.state.in_(states))
    if platform is not None:
        query = query.where(Build.platform == str(platform))
    if project is not None:
        query = query.where(Project.name == project)
    return [_row(build) for build in session.scalars(query.order_by(Build.id.desc()).limit(limit))]


def build(session: Session, build_id: int) -> BuildRow:
    """One build; raise UsageError if there is none of that number."""
    found = session.get(Build, build_id)
    if found is None:
        raise UsageError(f"there is no build {build_id}", advice="wheelfarm builds lists them")
    return _row(found)


def _row(build: Build) -> BuildRow:
    return BuildRow(
        id=build.id,
        project=build.project.name,
        version=build.version,
        platform=build.platform,
        build_number=build.build_number,
        state=build.state,
        attempts=build.fence,
        reason=build.reason,
        changed_at=build.changed_at,
    )
