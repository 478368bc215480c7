"""Counts that are kept with every change, so that nobody ever counts millions.

Changes are collected in the session and written once, sorted, just before its transaction is committed: two
transactions then lock the same rows in the same order, and for as short a time as can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import TextClause, event
from sqlalchemy.orm import Session, SessionTransaction

Key = tuple[Any, ...]
_Pending = dict[SessionTransaction | None, Counter[Key]]

_TALLIES: list[Tally] = []


class Tally:
    """One table of counts. add: the statement that adds ``:builds`` to the row of *columns*."""

    def __init__(self, add: TextClause, columns: Sequence[str]) -> None:
        self._add, self._columns = add, columns
        self._info = f"wheelfarm.tally.{len(_TALLIES)}"
        _TALLIES.append(self)
        # In every process the same order, whatever it imported first: nobody waits for another in a circle.
        _TALLIES.sort(key=lambda tally: tally._add.text)  # noqa: SLF001 - its own

    def note(self, session: Session, key: Key, change: int) -> None:
        """*change* is to be added to the row of *key*, whose parts stand in the order of the columns."""
        # By the innermost transaction: a savepoint that is rolled back takes its own with it.
        pending: _Pending = session.info.setdefault(self._info, {})
        pending.setdefault(_innermost(session), Counter())[key] += change

    def noted(self, session: Session) -> Counter[Key]:
        """What this session has noted, and not written yet."""
        found: Counter[Key] = Counter()
        for changes in session.info.get(self._info, {}).values():
            for key, change in changes.items():
                found[key] += change
        return found

    def write(self, session: Session) -> None:
        """Add what the innermost transaction has noted to the table."""
        pending: _Pending | None = session.info.get(self._info)
        changes = pending.pop(_innermost(session), None) if pending else None
        rows = [
            {**dict(zip(self._columns, key, strict=True)), "builds": change}
            for key, change in sorted((changes or {}).items())
            if change
        ]
        if rows:
            session.connection().execute(self._add, rows)

    def forget(self, session: Session, ended: SessionTransaction) -> None:
        """What *ended* noted went with it."""
        if pending := session.info.get(self._info):
            pending.pop(ended, None)


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()


@event.listens_for(Session, "before_commit")
def _write(session: Session) -> None:
    session.flush()  # what is written only now may be counted, too
    for tally in _TALLIES:
        tally.write(session)


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, ended: SessionTransaction) -> None:
    for tally in _TALLIES:
        tally.forget(session, ended)
