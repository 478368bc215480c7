"""What the index shows: which wheels of a project, in which view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.utils import parse_wheel_filename
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from schema.db.models import Build, Project, UpstreamFile, Wheel
from schema.platforms import Platform

# A project that the upstream hides or no longer has offers nothing here either (I-19, S-10).
_HIDDEN_STATUSES = ("quarantined", "missing")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A wheel that the index offers.

    yanked: None, or the reason ("" where none was given): the farm's own, else the upstream's of its sdist (I-18)
    """

    wheel: Wheel
    yanked: str | None

    @property
    def order(self) -> tuple[object, ...]:
        """Oldest version first; a rebuild after what it replaces."""
        _, version, build, _ = parse_wheel_filename(self.wheel.filename)
        return version, build, self.wheel.filename


def shown(session: Session, project: Project) -> list[Shown]:
    """The wheels of *project* that the index offers, in the order of its page."""
    rows = session.execute(
        select(Wheel, UpstreamFile.yanked)
        .join(Wheel.build)
        .outerjoin(Build.sdist)
        .join(Wheel.project)
        .where(Wheel.project_id == project.id, offered())
    )
    found = [Shown(wheel=wheel, yanked=upstream if wheel.yanked is None else wheel.yanked) for wheel, upstream in rows]
    return sorted(found, key=lambda item: item.order)


def names_by_view(session: Session, all_views: Sequence[View]) -> dict[View, list[str]]:
    """The projects that have a page in each view, sorted."""
    rows = session.execute(
        select(Project.name, Wheel.tags, Wheel.view)
        .join(Wheel.project)
        .join(Wheel.build)
        .outerjoin(Build.sdist)
        .where(offered())
        .distinct()
    ).all()
    return {view: sorted({name for name, tags, home in rows if view.shows(tags, home)}) for view in all_views}


def offered() -> ColumnElement[bool]:
    """Whether a wheel is offered at all, for a query over Wheel, Project, Build and (outer) UpstreamFile.

    One whose sdist vanished upstream is hidden at once, and back when the sdist is.
    """
    return and_(
        Wheel.removed_at.is_(None),
        Project.status.not_in(_HIDDEN_STATUSES),
        or_(UpstreamFile.id.is_(None), UpstreamFile.gone_at.is_(None)),
    )
