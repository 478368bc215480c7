"""Builds whose pause is over begin to queue: ``waiting`` with ``not_before`` past and nothing to wait for → ``queued``.

So ``queued`` means that a build could start now, whatever held it back: a cooldown, or the pause after a failure.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, literal_column, select
from sqlalchemy.orm import Session

from master import builds
from schema.db.models import Build
from schema.db.session import now
from schema.states import BuildState

_AT_ONCE = 200


def ripen(session: Session, *, limit: int = _AT_ONCE) -> int:
    """Queue those that are ripe, the longest ripe first, *limit* at most; say how many."""
    found = session.scalars(builds.locked(_ripe(now(session)).limit(limit), skip=True)).all()
    return sum(builds.move(session, build, BuildState.QUEUED, reason=over(build.reason)) for build in found)


def over(reason: str) -> str:
    """The reason of a build that queues after a pause: ``its pause is over (REASON OF THE PAUSE)``."""
    return f"its pause is over ({reason})" if reason else "its pause is over"


def _ripe(moment: datetime) -> Select[Build]:
    return (
        select(Build)
        # SQLite would take the index of all states for the better one, however few builds pause.
        .with_hint(Build, "INDEXED BY ix_builds_ripe", "sqlite")
        .where(
            # Spelt out, not bound: a partial index is used only where the planner sees its condition.
            literal_column("builds.state = 'waiting'"),
            Build.not_before <= moment,
            Build.waits_for.is_(None),
        )
        .order_by(Build.not_before)
    )
