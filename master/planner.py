"""Decides about the projects that are marked, one transaction each; where none waits, the back-fill brings more."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from sqlalchemy import Engine

from master import crash, resolve, undecided
from master.backfill import Backfill
from schema.cooldown import Cooldown
from schema.db.session import now, transaction
from schema.errors import UnavailableError
from schema.settings import Settings

log = logging.getLogger(__name__)

_AT_ONCE = 50
_TURN_S = 2.0


class Planner:
    """``turn`` decides about what waits; a project that cannot be decided about rests, and the others do not notice.

    snapshot: the same database, to read only
    """

    def __init__(self, database: Engine, *, snapshot: Engine, settings: Settings) -> None:
        self._database, self._snapshot = database, snapshot
        self._platforms, self._cooldown = settings.farm.platforms, Cooldown.of(settings.watch)
        self._recipe_folders = settings.farm.recipes
        self._backfill = Backfill(settings)
        self._rests = _Rests()
        self._after = 0

    def turn(self) -> int:
        """Decide for about two seconds at most; count the projects that were tried."""
        ends, tried = time.monotonic() + _TURN_S, 0
        while time.monotonic() < ends:
            found = self._next()
            for project_id in found:
                self._decide(project_id)
            tried += len(found)
            if not found and not self._backfill.turn(self._database):
                break
        return tried

    def _next(self) -> list[int]:
        """In turn, by their numbers: a project that is marked again and again does not hold up those behind it."""
        resting = self._rests.now()
        with transaction(self._snapshot) as session:
            found = undecided.waiting(session, after=self._after, without=resting, limit=_AT_ONCE)
            if not found and self._after:
                found = undecided.waiting(session, without=resting, limit=_AT_ONCE)
        self._after = found[-1] if found else 0
        return found

    def _decide(self, project_id: int) -> None:
        try:
            with transaction(self._database) as session:
                if undecided.take(session, project_id):
                    resolve.resolve_project(
                        session,
                        project_id,
                        platforms=self._platforms,
                        cooldown=self._cooldown,
                        recipe_folders=self._recipe_folders,
                        now=now(session),
                    )
        except UnavailableError:
            self._rests.begin(project_id)
            raise
        except Exception:  # one project that cannot be decided about must not hold up the others
            pause_s = self._rests.begin(project_id)
            log.exception("project %s cannot be decided about; again in %.0f s", project_id, pause_s)
        else:
            crash.point("resolved")
            self._rests.end(project_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rests:
    """Projects whose mark stays, but that are not taken for a while: longer each time, ten minutes at most.

    by_project: failures in a row, and the end of the rest by ``time.monotonic``
    """

    by_project: OrderedDict[int, tuple[int, float]] = field(default_factory=OrderedDict)

    def begin(self, project_id: int) -> float:
        """Seconds of the rest that begins now."""
        failures = self.by_project.pop(project_id, (0, 0.0))[0] + 1
        pause_s = min(5.0 * 2.0 ** min(failures - 1, 30), 600.0)
        self.by_project[project_id] = failures, time.monotonic() + pause_s
        if len(self.by_project) > _AT_ONCE * 10:
            self.by_project.popitem(last=False)
        return pause_s

    def end(self, project_id: int) -> None:
        """It could be decided about."""
        self.by_project.pop(project_id, None)

    def now(self) -> list[int]:
        """Those that rest now."""
        moment = time.monotonic()
        return [project_id for project_id, (_, until) in self.by_project.items() if until > moment]
