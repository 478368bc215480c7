"""What the nodes work on now, for whoever gives builds out and whoever explains."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db.models import Build
from schema.states import BuildState

_RUNNING = select(Build.leased_to, Build.size).where(Build.state == BuildState.LEASED)


def sizes_by_node(session: Session) -> dict[str, list[int]]:
    """Node → the sizes of the builds that it works on; a node that works on nothing gives []."""
    found: dict[str, list[int]] = defaultdict(list)
    for name, size in session.execute(_RUNNING):
        found[str(name)].append(size)
    return found
