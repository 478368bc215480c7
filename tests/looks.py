"""Looks at the upstream, as the master's loop has them: round after round."""

from __future__ import annotations

from sqlalchemy import Engine

from master import watch
from master.upstream import Upstream


def look_at_all(database: Engine, upstream: Upstream, *, poll_s: float = 600) -> int:
    """Rounds until nothing is due any more, for one ends after a second; count the projects."""
    return sum(iter(lambda: watch.look_at_due(database, upstream, poll_s=poll_s), 0))
