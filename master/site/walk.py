"""Have every page rendered anew, in the background, where what all of them depend on has changed."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from master import builds, marks
from master.site import pages, tree
from master.site.renderer import Site
from schema.db.models import DirtyPage, Mark, Wheel
from schema.db.session import now, transaction
from schema.simple.write import API_VERSION

log = logging.getLogger(__name__)

MARK = "pages"


@dataclass(slots=True, kw_only=True)
class Walk:
    """Marks the pages of one project after the other, a batch whenever the last one is rendered.

    It goes on where it was after a restart.

    lost: whether the site's folder was not there when this process began to lead; at_once: projects in a batch
    """

    site: Site
    public_url: str
    database: Engine
    lost: bool = False
    at_once: int = 200
    _looked: bool = False

    def turn(self) -> bool:
        """Mark the next batch; False where there is nothing to do."""
        with transaction(self.database) as session:
            mark = session.get(Mark, MARK)
            if not self._looked and self._is_due(mark):
                mark = marks.at(session, MARK)
                marks.begin(mark, fingerprint=self._fingerprint, total=0, note="", now=now(session))
                log.info("every page is rendered anew, in the background")
            self._looked = True
            if mark is None or mark.finished_at is not None or self._is_busy(session):
                return False
            return self._mark_next(session)

    def _is_due(self, mark: Mark | None) -> bool:
        return mark is None or mark.etag != self._fingerprint or self.lost

    @property
    def _fingerprint(self) -> str:
        depends = (
            f"{API_VERSION}, edition {pages.EDITION}",
            *tree.COMPRESSED,
            self.public_url,
            *sorted(str(platform) for platform in self.site.platforms),
        )
        return hashlib.sha256("\n".join(depends).encode()).hexdigest()

    def _mark_next(self, session: Session) -> bool:
        mark = marks.at(session, MARK)
        after = int(mark.cursor or "0")
        wanted = (
            select(Wheel.project_id)
            .where(Wheel.project_id > after)
            .group_by(Wheel.project_id)
            .order_by(Wheel.project_id)
            .limit(self.at_once)
        )
        found = session.scalars(wanted).all()
        for project_id in found:
            builds.touch_page(session, project_id)
        mark.done += len(found)
        if len(found) < self.at_once:
            mark.finished_at = now(session)
        else:
            mark.cursor = str(found[-1])
        return bool(found)

    def _is_busy(self, session: Session) -> bool:
        """Whether half of the last batch, or as much of what is newer, is still to be rendered."""
        some = select(DirtyPage.project_id).limit(self.at_once).subquery()
        return (session.scalar(select(func.count()).select_from(some)) or 0) * 2 >= self.at_once
