"""Keep the site as the database is: render the pages that are marked; a mark goes only after its page is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, delete, select

from master import builds, crash
from master.leader import NotLeadingError
from master.site.listing import Listing
from master.site.renderer import Site
from schema.db.models import DirtyPage
from schema.db.session import transaction

_AT_ONCE = 50

_Marks = Sequence[tuple[int, int]]


@dataclass(slots=True, kw_only=True)
class Marked:
    """What renders; all of it in one thread.

    listing: told of what was rendered
    snapshot: where pages are read from; database: where marks are removed
    unfenced: where they are set again for pages that this process rendered although another master leads
    """

    site: Site
    listing: Listing
    snapshot: Engine
    database: Engine
    unfenced: Engine
    _swept: bool = False

    def turn(self) -> bool:
        """Render some pages; say whether there were any to render."""
        rendered = self._pages()
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
        if not marked:
            return False
        self.listing.note(project_id for project_id, _ in marked)
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
