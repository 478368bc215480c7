"""What the pages about the whole farm read: counts, builds, nodes, projects; each in a few queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from packaging.utils import canonicalize_name
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, joinedload

from schema.db import counts, repeats
from schema.db.models import Build, Node, Project, Wheel
from schema.db.why.answers import Answer
from schema.db.why.sentences import about
from schema.db.why.surroundings import Rules, Scene, scene
from schema.states import OPEN_STATES, BuildState
from schema.vitals import Health

PAGE = 50
_NEWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A build with its sentence."""

    build: Build
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the farm has and does.

    running: at most a page of builds; newest: wheels, the newest first; repeats: verdict → builds
    """

    wheels: int
    projects: int
    size_bytes: int
    last_published_at: datetime | None
    states: dict[str, int]
    running: Sequence[Shown]
    newest: Sequence[Wheel]
    nodes: int
    nodes_heard: int
    repeats: dict[str, int]

    @property
    def repeated(self) -> str:
        """What building a share of the builds twice has shown; "" where none was."""
        return repeats.sentence(self.repeats)

    @property
    def to_do(self) -> int:
        """Builds that wait for a node, or for something else."""
        return self.states.get(BuildState.QUEUED, 0) + self.states.get(BuildState.WAITING, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """A node and what it works on."""

    node: Node
    silent: bool
    builds: list[Shown] = field(default_factory=list)

    @property
    def health(self) -> Health:
        """How its machine is."""
        return Health.read(self.node.health, self.node.disk_free_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Projects by name. counts: project id → wheels here; more: the last name, where more follow, or ""."""

    projects: Sequence[Project]
    counts: dict[int, int]
    more: str = ""


def portability(session: Session, name: str, *, most: int = 1000) -> dict[str, object] | None:
    """How the wheels of a project that are served, the newest *most*, fared in images that they were not built in.

    File name → verdicts as ``schema.portability`` has them; None if nobody knows the project.
    """
    project = session.scalars(select(Project.id).where(Project.name == name)).one_or_none()
    if project is None:
        return None
    here = select(Wheel.filename, Wheel.portability).where(Wheel.project_id == project, Wheel.removed_at.is_(None))
    newest = session.execute(here.order_by(Wheel.published_at.desc(), Wheel.filename).limit(most))
    return {row.filename: row.portability for row in newest}


def overview(session: Session, *, rules: Rules) -> Overview:
    """For the home page."""
    here = Wheel.removed_at.is_(None)
    wheels, projects, size_bytes, last = session.execute(
        select(
            func.count(),
            func.count(Wheel.project_id.distinct()),
            func.coalesce(func.sum(Wheel.size_bytes), 0),
            func.max(Wheel.published_at),
        ).where(here)
    ).one()
    newest = select(Wheel).where(here).order_by(Wheel.published_at.desc(), Wheel.filename).limit(_NEWEST)
    running = _builds(session, Build.state.in_((BuildState.LEASED, BuildState.COLLECTING)))
    found = scene(session, running, rules=rules)
    return Overview(
        wheels=wheels,
        projects=projects,
        size_bytes=int(size_bytes),
        last_published_at=last,
        states=counts.by_state(session),
        repeats=repeats.figures(session),
        running=_shown(running, found),
        newest=session.scalars(newest.options(joinedload(Wheel.project), joinedload(Wheel.build))).all(),
        nodes=len(found.nodes),
        nodes_heard=sum(not found.is_silent(node) for node in found.nodes),
    )


def latest_builds(
    session: Session, *, state: str = "", platform: str = "", before: int = 0, rules: Rules
) -> tuple[list[Shown], int]:
    """The newest builds first, and the number to continue *before*; 0 at the end.

    state: a ``BuildState``, ``open`` for all in which the farm has something to do, or "" for any
    """
    wanted: list[ColumnElement[bool]] = []
    if state == "open":
        wanted.append(Build.state.in_(OPEN_STATES))
    elif state:
        wanted.append(Build.state == state)
    if platform:
        wanted.append(Build.platform == platform)
    if before:
        wanted.append(Build.id < before)
    found = _builds(session, *wanted, limit=PAGE + 1)
    shown = found[:PAGE]
    return _shown(shown, scene(session, shown, rules=rules)), shown[-1].id if len(found) > PAGE else 0


def nodes(session: Session, *, rules: Rules) -> list[Crew]:
    """Every node with its builds, by name."""
    running = _builds(session, Build.leased_to.is_not(None), limit=10 * PAGE)
    found = scene(session, running, rules=rules)
    crews = {node.name: Crew(node=node, silent=found.is_silent(node)) for node in found.nodes}
    for item in _shown(running, found):
        if item.build.leased_to in crews:
            crews[item.build.leased_to].builds.append(item)
    return list(crews.values())


def platforms(session: Session) -> list[str]:
    """Every platform that some node offers."""
    offered = session.scalars(select(Node.platforms)).all()
    return sorted({str(name) for names in offered if isinstance(names, list) for name in names})


def search(session: Session, text: str, *, after: str = "") -> Found:
    """Projects whose normalised name contains *text*, a page of them, those beyond the name *after*."""
    wanted = select(Project).order_by(Project.name).limit(PAGE + 1)
    if text := canonicalize_name(text.strip())[:255]:
        wanted = wanted.where(Project.name.contains(text, autoescape=True))
    if after:
        wanted = wanted.where(Project.name > after)
    found = session.scalars(wanted).all()
    projects = found[:PAGE]
    counts = session.execute(
        select(Wheel.project_id, func.count())
        .where(Wheel.project_id.in_([item.id for item in projects]), Wheel.removed_at.is_(None))
        .group_by(Wheel.project_id)
    )
    return Found(
        projects=projects,
        counts={int(project): count for project, count in counts},
        more=projects[-1].name if len(found) > PAGE else "",
    )


def _builds(session: Session, *wanted: ColumnElement[bool], limit: int = PAGE) -> list[Build]:
    newest = select(Build).where(*wanted).order_by(Build.id.desc()).limit(limit)
    return list(session.scalars(newest.options(joinedload(Build.project))))


def _shown(builds: Sequence[Build], scene: Scene) -> list[Shown]:
    return [Shown(build=build, answer=about(build, scene)) for build in builds]
