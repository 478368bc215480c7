"""What an event does: the project is looked at now. In bulk, and safe to repeat (W-04)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session

from master import urgency
from master.batches import batches
from master.feed.news import Event, Kind
from schema.db.models import Project

# Has those of the new names that are in scope wanted, with a row of their own; ``scope.adopt`` is one.
Adopt = Callable[[Session, list[str]], object]

_BATCH = 500


def take(
    session: Session, events: Iterable[Event], *, now: datetime, adopt: Adopt | None = None, backlog: bool = False
) -> int:
    """Have the projects of *events* looked at; count those for which this was news. Unknown names are ignored.

    adopt: makes projects of those new names that the farm wants
    backlog: whether these are no news, but found by comparison: then what is news comes first
    """
    changed = urgency.NONE if backlog else urgency.NEWS
    merged = _merged(events)
    return sum(
        _take(session, batch, now - changed, now - urgency.TAKEN_AWAY, adopt)
        for batch in batches(sorted(merged.values()), _BATCH)
    )


def wake(session: Session, names: Iterable[str], *, now: datetime, adopt: Adopt | None = None) -> int:
    """Have projects looked at of which it is only said that something happened; count them. As ``take`` otherwise."""
    woken = 0
    for batch in batches(sorted(names), _BATCH):
        if adopt is not None and (new := set(batch).difference(_known(session, batch))):
            adopt(session, sorted(new))
            session.flush()
        soon = now - urgency.NEWS
        moved = update(Project).where(Project.name.in_(batch), Project.check_at > soon).values(check_at=soon)
        woken += len(session.scalars(moved.returning(Project.id)).all())
    return woken


def _merged(events: Iterable[Event]) -> dict[str, Event]:
    """One event for each project: the highest serial, and the more urgent kind."""
    merged: dict[str, Event] = {}
    for event in events:
        known = merged.get(event.name)
        if known is not None:
            urgent = Kind.TAKEN_AWAY in {event.kind, known.kind}
            kind = Kind.TAKEN_AWAY if urgent else Kind.CHANGED
            event = Event(event.name, max(event.serial, known.serial), kind)  # noqa: PLW2901 - it is the merged one
        merged[event.name] = event
    return merged


def _take(session: Session, batch: Sequence[Event], changed: datetime, away: datetime, adopt: Adopt | None) -> int:
    names: list[str] = [event.name for event in batch]
    known = _known(session, names)
    if adopt is not None and (new := [name for name in names if name not in known]):
        adopt(session, new)
        session.flush()
        known |= _known(session, new)
    rows = [
        {
            "of": known[event.name][0],
            "new_serial": event.serial,
            "soon": away if event.kind is Kind.TAKEN_AWAY else changed,
        }
        for event in batch
        if event.name in known and event.serial > known[event.name][1]
    ]
    if rows:
        table = Project.__table__
        assert isinstance(table, Table)  # noqa: S101 - for mypy
        raised = (
            update(table)
            .where(table.c.id == bindparam("of"), table.c.event_serial < bindparam("new_serial"))
            .values(event_serial=bindparam("new_serial"), check_at=bindparam("soon", type_=table.c.check_at.type))
        )
        session.connection().execute(raised, rows)
    return len(rows)


def _known(session: Session, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    query = select(Project.name, Project.id, Project.event_serial).where(Project.name.in_(names))
    return {name: (number, serial) for name, number, serial in session.execute(query)}
