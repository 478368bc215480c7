"""What the lists of projects and the constraints files say, kept in memory and brought up to date project by project.

To read all of it grows with the farm, so that is done once; afterwards a changed project costs the same on every farm.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import select
from sqlalchemy.orm import Session

from master.site import constraints
from master.site.constraints import HeldBack
from master.site.shown import View, names_by_view
from schema.db.models import Project
from schema.platforms import Platform


class Lists:
    """Of *views*, which projects have a page there; of *platforms*, what is held back.

    changed: those of which it says something else than was written down; whoever writes takes them out
    """

    def __init__(self, views: Sequence[View], platforms: Sequence[Platform]) -> None:
        self.was_read = False
        self.changed: set[View | Platform] = set()
        self._names: dict[View, list[str]] = {view: [] for view in views}  # sorted
        self._held: dict[Platform, dict[str, HeldBack]] = {platform: {} for platform in platforms}

    def names(self, view: View) -> Sequence[str]:
        """The projects that have a page in *view*, sorted."""
        return self._names[view]

    def held(self, platform: Platform) -> list[HeldBack]:
        """What is held back on *platform*, sorted by name."""
        return [self._held[platform][name] for name in sorted(self._held[platform])]

    def read(self, session: Session) -> None:
        """All of it."""
        shown = names_by_view(session, list(self._names))
        self._names = {view: sorted(names) for view, names in shown.items()}
        self._held = {
            platform: {item.name: item for item in constraints.held_back(session, platform)} for platform in self._held
        }
        self.changed = {*self._names, *self._held}
        self.was_read = True

    def renew(self, session: Session, projects: Collection[int]) -> bool:
        """What it says of these projects; whether that is something else than before. Nothing before ``read``."""
        if not self.was_read:
            return False
        names = set(session.scalars(select(Project.name).where(Project.id.in_(projects))))
        # All of it is read before any of it is taken over: what broke off here must count as a change the next time.
        shown = names_by_view(session, list(self._names), projects)
        held = {platform: constraints.held_back(session, platform, projects) for platform in self._held}
        changed: set[View | Platform] = {view for view, found in shown.items() if self._show(view, names, found)}
        changed.update(platform for platform, found in held.items() if self._hold_back(platform, names, found))
        self.changed |= changed
        return bool(changed)

    def _show(self, view: View, names: AbstractSet[str], shown: AbstractSet[str]) -> bool:
        """Of *names*, the view has those that are *shown*; whether that is a change."""
        listed, changed = self._names[view], False
        for name in names:
            at = bisect_left(listed, name)
            is_listed = at < len(listed) and listed[at] == name
            if name in shown and not is_listed:
                listed.insert(at, name)
            elif name not in shown and is_listed:
                del listed[at]
            changed |= is_listed != (name in shown)
        return changed

    def _hold_back(self, platform: Platform, names: AbstractSet[str], found: Sequence[HeldBack]) -> bool:
        """Of *names*, the platform holds back what was *found*; whether that is a change."""
        before, held = self._held[platform], {item.name: item for item in found}
        if {name: before[name] for name in names if name in before} == held:
            return False
        for name in names:
            before.pop(name, None)
        before.update(held)
        return True
