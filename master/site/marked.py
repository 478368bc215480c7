"""Render the pages that are marked as changed; a mark goes only after its page is right."""

from __future__ import annotations

from sqlalchemy import Engine, delete, select

from master import crash
from master.site.renderer import Site
from schema.db.models import DirtyPage
from schema.db.session import transaction

_AT_ONCE = 50


def render(site: Site, snapshot: Engine, database: Engine) -> None:
    """Render what changed, some projects at a time; a page that changed meanwhile stays marked."""
    with transaction(snapshot) as session:
        marked = select(DirtyPage.project_id, DirtyPage.revision).limit(_AT_ONCE)
        dirty = session.execute(marked).all()
        if not dirty:
            return
        for project_id, _ in dirty:
            site.render(session, project_id)
            crash.point("page-written")
        site.render_roots(session)
        site.render_constraints(session)
    with transaction(database) as session:
        for project_id, revision in dirty:
            session.execute(delete(DirtyPage).where(DirtyPage.project_id == project_id, DirtyPage.revision == revision))
    crash.point("marks-removed")
