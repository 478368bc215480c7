"""New weights hold at once for what is decided from then on; all other builds get their new score in the background."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import marks
from schema.db import scoring
from schema.db.models import Build, Mark
from schema.db.session import now, transaction
from schema.score import Weights

_AT_ONCE = 500


class Walk:
    """Gives every open build its score by *weights*; goes on after a restart, and asks nothing once it is done."""

    def __init__(self, weights: Weights) -> None:
        self._weights, self._done = weights, False

    def turn(self, database: Engine) -> int:
        """Score some builds; count them, 0 once all have their score."""
        if self._done:
            return 0
        with transaction(database) as session:
            mark = marks.at(session, scoring.MARK)
            text = scoring.written(self._weights)
            if mark.etag != text:
                _begin(session, mark, text)
            found = () if mark.finished_at else _some(session, mark)
            scoring.rescore(session, found)
            mark.done += len(found)
            if not found:
                mark.finished_at = mark.finished_at or now(session)
        self._done = not found
        return len(found)


def _begin(session: Session, mark: Mark, weights: str) -> None:
    mark.etag, mark.cursor, mark.done = weights, f"{scoring.SCORED[0]} 0", 0
    mark.started_at, mark.finished_at = now(session), None


def _some(session: Session, mark: Mark) -> Sequence[Build]:
    """The next builds of the walk: those that wait, then those that are queued, by number."""
    state, _, after = mark.cursor.partition(" ")
    found = session.scalars(
        select(Build).where(Build.state == state, Build.id > int(after)).order_by(Build.id).limit(_AT_ONCE)
    ).all()
    if found:
        mark.cursor = f"{state} {found[-1].id}"
        return found
    if state == scoring.SCORED[-1]:
        return ()
    mark.cursor = f"{scoring.SCORED[-1]} 0"
    return _some(session, mark)
