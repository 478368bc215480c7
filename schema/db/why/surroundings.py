"""What the sentences about some builds rest on, read once for all of them: the queries do not grow in number with them.

What a build waits for is in ``schema.db.why.chains``, its place in the queue in ``schema.db.why.places``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, joinedload, load_only

from schema.db import counts
from schema.db.models import Attempt, AuditEntry, Build, Leadership, Mark, Node, UpstreamFile, Wheel
from schema.db.running import sizes_by_node
from schema.db.session import now
from schema.db.why import chains, places
from schema.db.why.chains import Link
from schema.settings import Settings
from schema.states import BuildState

INTAKE, BACKFILL, REDIS = "intake", "backfill", "redis"

_DECIDED_BY_PEOPLE = frozenset({BuildState.HELD, BuildState.WITHDRAWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What of the settings the sentences depend on.

    silent_s: a node that was not heard for so many seconds is taken for silent
    """

    silent_s: float = 90.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a farm."""
        return cls(silent_s=settings.timing.lease_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the sentences about some builds may need.

    running: node → the sizes of the builds that it works on; queued: platform → builds in the queue
    ahead: build → those before it
    attempts: build → its attempts, the last one last
    wheels: of the builds, removed ones too; made: the same, build → those that it made
    sdists: by id; links: build → what it waits for; people: subject → the last thing that a person did to it
    leader: None where no master ever led; marks: by name
    versions: what upstream lists of the project that was asked about, where a request for none of it must be told
    """

    now: datetime
    rules: Rules = field(default_factory=Rules)
    nodes: Sequence[Node] = ()
    running: Mapping[str, Sequence[int]] = field(default_factory=dict)
    queued: Mapping[str, int] = field(default_factory=dict)
    ahead: Mapping[int, int] = field(default_factory=dict)
    attempts: Mapping[int, Sequence[Attempt]] = field(default_factory=dict)
    wheels: Sequence[Wheel] = ()
    made: Mapping[int, Sequence[Wheel]] = field(default_factory=dict)
    sdists: Mapping[int, UpstreamFile] = field(default_factory=dict)
    links: Mapping[int, Link] = field(default_factory=dict)
    people: Mapping[str, AuditEntry] = field(default_factory=dict)
    leader: Leadership | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    versions: Sequence[str] = ()

    def last_attempt(self, build: Build) -> Attempt | None:
        """The newest attempt at *build*."""
        attempts = self.attempts.get(build.id, ())
        return attempts[-1] if attempts else None

    def is_silent(self, node: Node) -> bool:
        """Whether *node* was not heard lately."""
        return node.heard_at is None or self.now - node.heard_at > timedelta(seconds=self.rules.silent_s)

    def sdist(self, build: Build) -> UpstreamFile | None:
        """What *build* is built from."""
        return self.sdists.get(build.sdist_id) if build.sdist_id is not None else None

    def person(self, build: Build, *actions: str) -> AuditEntry | None:
        """What a person did to *build* last, if that is one of *actions*."""
        entry = self.people.get(f"build {build.id}")
        return entry if entry is not None and entry.action in actions else None


def scene(session: Session, builds: Sequence[Build], *, projects: Sequence[int] = (), rules: Rules) -> Scene:
    """Read it for *builds*.

    projects: ids of projects whose wheels are wanted too, whichever build made them
    """
    links = chains.links(session, builds)
    every = list(
        {build.id: build for build in (*builds, *(link.build for link in links.values() if link.build))}.values()
    )
    wheels = _wheels(session, builds, projects)
    made: dict[int, list[Wheel]] = defaultdict(list)
    for wheel in wheels:
        made[wheel.build_id].append(wheel)
    return Scene(
        now=now(session),
        rules=rules,
        nodes=session.scalars(select(Node).order_by(Node.name)).all(),
        running=sizes_by_node(session),
        queued=counts.by_platform(session, BuildState.QUEUED),
        ahead=places.ahead(session, every),
        attempts=_attempts(session, every),
        wheels=wheels,
        made=made,
        sdists=_sdists(session, builds),
        links=links,
        people=_people(session, builds),
        leader=session.get(Leadership, 1),
        marks={
            mark.name: mark for mark in session.scalars(select(Mark).where(Mark.name.in_((INTAKE, BACKFILL, REDIS))))
        },
    )


def _attempts(session: Session, builds: Sequence[Build]) -> dict[int, list[Attempt]]:
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
    begun = [build.id for build in builds if build.fence]
    found: dict[int, list[Attempt]] = defaultdict(list)
    wanted = select(Attempt).options(columns).where(Attempt.build_id.in_(begun)).order_by(Attempt.fence)
    for attempt in session.scalars(wanted):
        found[attempt.build_id].append(attempt)
    return found


def _wheels(session: Session, builds: Sequence[Build], projects: Sequence[int]) -> Sequence[Wheel]:
    """Of the builds, of whole *projects*, and of the releases that are built again."""
    whole = {*projects, *(build.project_id for build in builds if build.build_number)}
    wanted = or_(Wheel.build_id.in_([build.id for build in builds]), Wheel.project_id.in_(whole))
    return session.scalars(
        select(Wheel).options(joinedload(Wheel.build)).where(wanted).order_by(Wheel.published_at)
    ).all()


def _sdists(session: Session, builds: Sequence[Build]) -> dict[int, UpstreamFile]:
    wanted = {build.sdist_id for build in builds if build.state == BuildState.PUBLISHED} - {None}
    return {row.id: row for row in session.scalars(select(UpstreamFile).where(UpstreamFile.id.in_(wanted)))}


def _people(session: Session, builds: Sequence[Build]) -> dict[str, AuditEntry]:
    subjects = [f"build {build.id}" for build in builds if build.state in _DECIDED_BY_PEOPLE]
    entries = session.scalars(select(AuditEntry).where(AuditEntry.subject.in_(subjects)).order_by(AuditEntry.id))
    return {entry.subject: entry for entry in entries}
