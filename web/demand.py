"""What clients ask the index for and do not find: counted without anybody waiting (I-28).

A page costs one look into a dict. However many names are asked for, memory and table stay bounded: each worker keeps a
thousand names at most, and the table takes no new rows beyond ten thousand; names that are known still count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from schema.db.models import Demand
from schema.db.session import insert, now
from web.write_behind import PAUSE_S, WriteBehind

Asked = tuple[str, str]  # name, view

_MOST_NAMES = 1_000
_MOST_ROWS = 10_000


class Demands(WriteBehind[Asked]):
    """Counts of this process.

    views: of the farm, such as ``debian12-x86_64``; what is asked in others is not counted
    """

    def __init__(self, url: str, *, views: Collection[str], pause_s: float = PAUSE_S) -> None:
        super().__init__(url, write, what="what clients ask for", most=_MOST_NAMES, pause_s=pause_s)
        self._views = frozenset({"", *views})

    def count(self, name: str, view: str) -> None:
        """Somebody asked for *name* (normalised), and it was not there."""
        if view in self._views:
            self.add((name, view))


def write(session: Session, counts: Mapping[Asked, int], *, most_rows: int = _MOST_ROWS) -> None:
    """Add to the table; where it is full only names that it has are counted on."""
    key = tuple_(Demand.name, Demand.view)
    known = {(name, view) for name, view in session.execute(select(Demand.name, Demand.view).where(key.in_(counts)))}
    room = max(most_rows - (session.scalar(select(func.count()).select_from(Demand)) or 0), 0)
    new = sorted(counts.keys() - known, key=lambda item: (-counts[item], item))[:room]
    moment = now(session)
    rows = [
        {"name": name, "view": view, "asks": counts[name, view], "asked_at": moment}
        for name, view in sorted([*known, *new])  # sorted: two workers never wait for each other in a circle
    ]
    if not rows:
        return
    added = insert(session, Demand.__table__)
    summed = {"asks": Demand.asks + added.excluded.asks, "asked_at": added.excluded.asked_at}
    session.execute(added.on_conflict_do_update(index_elements=["name", "view"], set_=summed), rows)
