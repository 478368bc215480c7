"""The one queue of planning: the projects of which something changed that may change what is to be built.

Whoever changes such a thing marks the project, in the same transaction. A mark is written even where there is one, and
the taker clears it before it reads anything: so the row's lock puts the two in an order, and no change is missed.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_, literal_column, select, update
from sqlalchemy.orm import Session

from schema.db.models import Project, Request

# Spelt out, not bound: a partial index is used only where the planner sees its condition. A project whose page was
# never read waits for that first.
WAITS = and_(literal_column("projects.undecided"), Project.checked_at.is_not(None))


def mark(session: Session, *project_ids: int) -> None:
    """Have the unresolved requests of these projects resolved; their rows stay locked until the transaction ends."""
    if not project_ids:
        return
    session.execute(
        update(Project)
        .where(Project.id.in_(sorted(set(project_ids))))
        .values(undecided=True)
        .execution_options(synchronize_session=False)
    )


def again(session: Session, *project_ids: int) -> None:
    """Have every request of these projects resolved again: what the upstream or the farm has is another now."""
    if not project_ids:
        return
    mark(session, *project_ids)
    session.execute(
        update(Request)
        .where(Request.project_id.in_(sorted(set(project_ids))), Request.resolved_at.is_not(None))
        .values(resolved_at=None)
        .execution_options(synchronize_session="fetch")
    )


def waiting(session: Session, *, after: int = 0, without: Collection[int] = (), limit: int = 50) -> list[int]:
    """The marked projects from the id *after* on, *limit* at most."""
    query = select(Project.id).where(WAITS, Project.id > after).order_by(Project.id).limit(limit)
    if without:
        query = query.where(Project.id.not_in(without))
    return list(session.scalars(query))


def take(session: Session, project_id: int) -> bool:
    """Clear the mark, to be done before anything else in the transaction; False if there is none any more.

    Whoever marks the project meanwhile waits for this transaction, and so marks it once more.
    """
    cleared = session.execute(
        update(Project)
        .where(Project.id == project_id, Project.undecided)
        .values(undecided=False)
        .execution_options(synchronize_session=False)
    )
    return bool(cleared.rowcount)  # type: ignore[attr-defined]
