"""Plan everything once more after a change of the settings: in the background, by project, behind all that is new.

The mark ``backfill`` holds the fingerprint of the settings and how far the walk came, so a restart goes on there.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from master import marks, undecided
from schema import recipe_files
from schema.db.models import Mark, Project
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.settings import Settings

log = logging.getLogger(__name__)

MARK = "backfill"

_RULES = 1  # of ``master.plan``; a change of them has everything planned once more
_BATCH = 50


class Backfill:
    """``turn`` marks the next projects; to be called only when no other project waits to be decided about."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._print = settings, fingerprint(settings)
        self._done = False

    def turn(self, database: Engine) -> int:
        """Count the projects that were marked. 0: nothing is left to do, and the database is left alone."""
        if self._done:
            return 0
        with transaction(database) as session:
            now = clock(session)
            mark = self._mark(session, now)
            found = self._next(session, int(mark.cursor or 0)) if mark.finished_at is None else []
            if found:
                undecided.again(session, *found)
                mark.cursor, mark.done = str(found[-1]), mark.done + len(found)
                return len(found)
            if mark.finished_at is None:
                mark.finished_at, mark.total = now, mark.done
                log.info("all %s projects were planned again for what the settings say now", mark.done)
        self._done = True
        return 0

    def _next(self, session: Session, after: int) -> list[int]:
        return list(
            session.scalars(select(Project.id).where(Project.id > after).order_by(Project.id).limit(_BATCH)).all()
        )

    def _mark(self, session: Session, now: datetime) -> Mark:
        mark = marks.at(session, MARK)
        if mark.etag != self._print:
            total = session.scalar(select(func.count()).select_from(Project)) or 0
            note = f"for {', '.join(map(str, self._settings.farm.platforms))}"
            marks.begin(mark, fingerprint=self._print, total=total, note=note, now=now)
            if mark.total:
                log.info("the settings are others: %s projects are planned again, %s", mark.total, mark.note)
        return mark


def fingerprint(settings: Settings) -> str:
    """Differs when a change of the settings, or of people's rules, may change what is to be built.

    What they say about scope and policy is kept in the requests: ``scope.Walk`` brings those in line.
    """
    watch = settings.watch
    cooldown = [watch.cooldown_s, sorted(watch.cooldown_exempt)]
    decisive = [rule.to_json() for rule in recipe_files.decisive(settings.farm.recipes)]
    text = json.dumps([_RULES, sorted(map(str, settings.farm.platforms)), cooldown, decisive])
    return hashlib.sha256(text.encode()).hexdigest()
