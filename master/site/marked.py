"""Keep the site as the database is: render the pages that are marked; a mark goes only after its page is right."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine, delete, select

from master import builds, crash
from master.leader import NotLeadingError
from master.site.lists import Lists
from master.site.renderer import Site
from schema.db.models import DirtyPage
from schema.db.session import transaction

_AT_ONCE = 50
# The lists are as long as the farm is large, so they are written after a pause of so many times what they took.
_LISTS_PAUSE = 10.0

_Marks = Sequence[tuple[int, int]]


@dataclass(slots=True, kw_only=True)
class Marked:
    """What renders; all of it in one thread.

    snapshot: where pages are read from; database: where marks are removed
    unfenced: where they are set again for pages that this process rendered although another master leads
    """

    site: Site
    snapshot: Engine
    database: Engine
    unfenced: Engine
    _lists: Lists = field(init=False)
    _swept: bool = False
    _lists_due: bool = True
    _lists_at: float = field(default=0.0)

    def __post_init__(self) -> None:
        self._lists = self.site.lists()

    def turn(self) -> bool:
        """Render some pages, and the lists when their time has come; say whether there were pages to render."""
        rendered = self._pages()
        if self._lists_due and time.monotonic() >= self._lists_at:
            self._write_lists()
        if not rendered and not self._swept:
            with transaction(self.snapshot) as session:
                self.site.sweep(session)
            self._swept = True
        return rendered

    def _pages(self) -> bool:
        with transaction(self.snapshot) as session:
            marked = [(page.project_id, page.revision) for page in session.scalars(select(DirtyPage).limit(_AT_ONCE))]
            for project_id, _ in marked:
                self.site.render(session, project_id)
                crash.point("page-written")
            self._lists_due |= self._lists.renew(session, [project_id for project_id, _ in marked])
        if not marked:
            return False
        try:
            self._remove(marked)
        except NotLeadingError:
            self._mark_again(marked)
            raise
        crash.point("marks-removed")
        return True

    def _remove(self, marked: _Marks) -> None:
        """A page that changed meanwhile stays marked."""
        with transaction(self.database) as session:
            for project_id, revision in marked:
                session.execute(
                    delete(DirtyPage).where(DirtyPage.project_id == project_id, DirtyPage.revision == revision)
                )

    def _mark_again(self, marked: _Marks) -> None:
        """What was rendered too late may be older than what the leader rendered: have it do so again."""
        with transaction(self.unfenced) as session:
            for project_id, _ in marked:
                builds.touch_page(session, project_id)

    def _write_lists(self) -> None:
        started = time.monotonic()
        if not self._lists.was_read:
            with transaction(self.snapshot) as session:
                self._lists.read(session)
        self.site.write_lists(self._lists)
        self._lists_due = False
        self._lists_at = time.monotonic() + _LISTS_PAUSE * (time.monotonic() - started)
