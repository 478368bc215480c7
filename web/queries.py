"""What the pages about the whole farm read: counts, builds, nodes, projects; each in a few queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session, joinedload

from schema.db.models import Build, Node, Project, Wheel
from schema.db.why.answers import Answer
from schema.db.why.sentences import about
from schema.db.why.surroundings import Rules, Scene, scene
from schema.states import LEASED_STATES, OPEN_STATES, BuildState
from schema.vitals import Health

PAGE = 50
# So many builds of a state are looked at for a page that shows one platform only, whose newest no index knows.
_LOOKED_AT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A build with its sentence."""

    build: Build
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """A node and what it works on."""

    node: Node
    silent: bool
    builds: list[Shown] = field(default_factory=list)

    @property
    def images(self) -> list[str]:
        """Those that it builds in: only what its self-test has passed is offered."""
        offered = self.node.platforms if isinstance(self.node.platforms, list) else []
        return sorted({str(name).rpartition("-")[0] for name in offered} - {""})

    @property
    def busy(self) -> int:
        """Slots in use."""
        return sum(item.build.state == BuildState.LEASED for item in self.builds)

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


def latest_builds(
    session: Session, *, state: str = "", platform: str = "", before: int = 0, rules: Rules
) -> tuple[list[Shown], int]:
    """The newest builds first, and the number to continue *before*; 0 at the end.

    state: a ``BuildState``, ``open`` for all in which the farm has something to do, or "" for any
    """
    states = sorted(OPEN_STATES) if state == "open" else [state] if state else [""]
    limit = _LOOKED_AT if platform else PAGE + 1
    looked_at = [session.scalars(_newest(item, before=before, limit=limit)).all() for item in states]
    # What lies behind this is not known of every state yet, and comes with the next page.
    horizon = max((ids[-1] for ids in looked_at if len(ids) == limit), default=0)
    ids = [number for ids in looked_at for number in ids if number >= horizon]
    fitting = select(Build).where(Build.id.in_(ids)).options(joinedload(Build.project)).order_by(Build.id.desc())
    if platform:
        fitting = fitting.where(Build.platform == platform)
    found = session.scalars(fitting.limit(PAGE + 1)).all()
    page = found[:PAGE]
    return shown_with(session, page, rules=rules), page[-1].id if len(found) > PAGE else horizon


def nodes(session: Session, *, rules: Rules) -> list[Crew]:
    """Every node with its builds, by name."""
    running = newest_builds(session, given_out(), limit=10 * PAGE)
    found = scene(session, running, rules=rules)
    crews = {node.name: Crew(node=node, silent=found.is_silent(node)) for node in found.nodes}
    for item in shown(running, found):
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


def given_out() -> ColumnElement[bool]:
    """Of a build that a node has: by its state, whose index SQLite takes without statistics."""
    return Build.state.in_(LEASED_STATES)


def newest_builds(session: Session, *wanted: ColumnElement[bool], limit: int = PAGE) -> list[Build]:
    """At most *limit* builds with their projects, the newest first; by what is *wanted* an index must find them."""
    newest = select(Build).where(*wanted).order_by(Build.id.desc()).limit(limit)
    return list(session.scalars(newest.options(joinedload(Build.project))))


def shown_with(session: Session, builds: Sequence[Build], *, rules: Rules) -> list[Shown]:
    """Each of *builds* with its sentence, for which everything is read."""
    return shown(builds, scene(session, builds, rules=rules))


def shown(builds: Sequence[Build], scene: Scene) -> list[Shown]:
    """Each of *builds* with its sentence."""
    return [Shown(build=build, answer=about(build, scene)) for build in builds]


def _newest(state: str, *, before: int, limit: int) -> Select[int]:
    wanted = select(Build.id).order_by(Build.id.desc()).limit(limit)
    if state:
        wanted = wanted.where(Build.state == state)
    return wanted.where(Build.id < before) if before else wanted
