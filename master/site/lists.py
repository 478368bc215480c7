"""What the lists of projects and the constraints files say, kept in memory and brought up to date project by project.

To read all of it grows with the farm, so that is done once; afterwards a changed project costs the same on every farm.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from master.site import constraints
from master.site.constraints import HeldBack
from master.site.shown import View, names_by_view
from schema.db.models import Project
from schema.platforms import Platform


class Lists:
    """Of *views*, which projects have a page there; of *platforms*, what is held back."""

    def __init__(self, views: Sequence[View], platforms: Sequence[Platform]) -> None:
        self.was_read = False
        self._names: dict[View, set[str]] = {view: set() for view in views}
        self._held: dict[Platform, dict[str, HeldBack]] = {platform: {} for platform in platforms}

    def names(self, view: View) -> list[str]:
        """The projects that have a page in *view*, sorted."""
        return sorted(self._names[view])

    def held(self, platform: Platform) -> list[HeldBack]:
        """What is held back on *platform*, sorted by name."""
        return [self._held[platform][name] for name in sorted(self._held[platform])]

    def read(self, session: Session) -> None:
        """All of it."""
        self._names = names_by_view(session, list(self._names))
        self._held = {
            platform: {item.name: item for item in constraints.held_back(session, platform)} for platform in self._held
        }
        self.was_read = True

    def renew(self, session: Session, projects: Collection[int]) -> bool:
        """What it says of these projects; whether that is something else than before. Nothing before ``read``."""
        if not self.was_read:
            return False
        names = set(session.scalars(select(Project.name).where(Project.id.in_(projects))))
        changed = False
        for view, shown in names_by_view(session, list(self._names), projects).items():
            listed = self._names[view]
            changed |= names & listed != shown
            listed -= names
            listed |= shown
        for platform, before in self._held.items():
            held = {item.name: item for item in constraints.held_back(session, platform, projects)}
            changed |= {name: before[name] for name in names if name in before} != held
            for name in names:
                before.pop(name, None)
            before.update(held)
        return changed
