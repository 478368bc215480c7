"""What the index shows: which wheels of a project, in which view."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from packaging.utils import BuildTag
from packaging.version import Version
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, contains_eager, defer

from schema.db.models import Build, Project, Repeat, UpstreamFile, Wheel
from schema.platforms import Platform
from schema.repeats import Repeated

# A project that the upstream hides or no longer has offers nothing here either (I-19, S-10).
_HIDDEN_STATUSES = ("quarantined", "missing")

# The name was taken apart when the wheel was published; to do it again takes ten times as long.
_BUILD_TAG = re.compile(r"(?:[^-]+-){2}(\d+)([^-]*)-[^-]+-[^-]+-[^-]+\.whl")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One index: the wheels for one distribution and architecture; name "" is ``/simple/``, with portable wheels only.

    tags: what an installer there accepts, as text; None for ``/simple/``, which leaves that to the installer
    """

    name: str
    tags: frozenset[str] | None

    @property
    def path(self) -> str:
        """Where its pages lie below the site's folder."""
        return f"{self.name}/simple" if self.name else "simple"

    def shows(self, tags: str, view: str | None) -> bool:
        """Whether a wheel with these *tags* (``Wheel.tags``) from that *view* (``Wheel.view``) belongs here."""
        if view is not None:
            return view == self.name
        return self.tags is None or not self.tags.isdisjoint(tags.split())


PORTABLE = View(name="", tags=None)


def views(platforms: Iterable[Platform]) -> tuple[View, ...]:
    """``/simple/`` and a view for each distribution and architecture among *platforms*."""
    tags: dict[str, frozenset[str]] = {}
    for platform in platforms:
        tags[platform.view] = tags.get(platform.view, frozenset()) | {str(tag) for tag in platform.tags}
    return (PORTABLE, *(View(name=name, tags=tags[name]) for name in sorted(tags)))


def offered(session: Session, project: Project) -> list[Wheel]:
    """The wheels of *project* that the index offers: the oldest version first, a rebuild after what it replaces."""
    wheels = session.scalars(
        select(Wheel)
        .join(Wheel.project)
        .join(Wheel.build)
        .outerjoin(Build.sdist)
        .where(Wheel.project_id == project.id, is_offered())
        .options(contains_eager(Wheel.build).load_only(Build.platform), defer(Wheel.runtime_packages))
    )
    return sorted(wheels, key=_order)


def verdicts(session: Session, project: Project) -> dict[int, Repeated]:
    """Build → what came of building it once more, of those of *project* where something did."""
    asked = (
        select(Repeat.build_id, Repeat.verdict)
        .join(Build, Build.id == Repeat.build_id)
        .where(Build.project_id == project.id)
    )
    return {build_id: Repeated(verdict) for build_id, verdict in session.execute(asked) if verdict is not None}


def names_by_view(
    session: Session, all_views: Sequence[View], projects: Collection[int] | None = None
) -> dict[View, set[str]]:
    """The names of the projects that have a page in each view; of *projects* (their ids) only, if given."""
    wanted = select(Project.name, Wheel.tags, Wheel.view).join(Wheel.project).join(Wheel.build).outerjoin(Build.sdist)
    if projects is not None:
        wanted = wanted.where(Project.id.in_(projects))
    rows = session.execute(wanted.where(is_offered()).distinct()).all()
    return {view: {name for name, tags, home in rows if view.shows(tags, home)} for view in all_views}


def is_offered() -> ColumnElement[bool]:
    """Whether a wheel is offered at all, for a query over Wheel, Project, Build and (outer) UpstreamFile.

    One whose sdist vanished upstream is hidden at once, and back when the sdist is.
    """
    return and_(
        Wheel.removed_at.is_(None),
        Project.status.not_in(_HIDDEN_STATUSES),
        or_(UpstreamFile.id.is_(None), UpstreamFile.gone_at.is_(None)),
    )


def _order(wheel: Wheel) -> tuple[Version, BuildTag, str]:
    found = _BUILD_TAG.fullmatch(wheel.filename)
    return Version(wheel.version), (int(found[1]), found[2]) if found else (), wheel.filename
