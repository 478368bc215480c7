"""What clients ask the index for and do not find: counted in memory, written down by a thread, never waited for (I-28).

A page costs one look into a dict. However many names are asked for, memory and table stay bounded: each worker keeps a
thousand names at most, and the table takes no new rows beyond ten thousand; names that are known still count.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from sqlalchemy import Engine, func, make_url, select, tuple_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from schema.db.models import Demand
from schema.db.session import engine, insert, now, transaction
from schema.errors import UnavailableError

log = logging.getLogger(__name__)

Asked = tuple[str, str]  # name, view

DEMAND_PAUSE_S = 10.0

_MOST_NAMES = 1_000
_MOST_ROWS = 10_000


class Demands:
    """Counts of this process; the thread that writes them starts with the first.

    views: of the farm, such as ``debian12-x86_64``; what is asked in others is not counted
    """

    def __init__(self, url: str, *, views: Collection[str], pause_s: float = DEMAND_PAUSE_S) -> None:
        self._url, self._views, self._pause_s = url, frozenset({"", *views}), pause_s
        self._counts: dict[Asked, int] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_away = False

    def count(self, name: str, view: str) -> None:
        """Somebody asked for *name* (normalised), and it was not there."""
        if view not in self._views:
            return
        with self._lock:
            asks = self._counts.get((name, view))
            if asks is None and len(self._counts) >= _MOST_NAMES:
                return
            self._counts[name, view] = (asks or 0) + 1
            if self._thread is None:  # not before: whoever forks its workers would leave the thread behind
                self._thread = threading.Thread(target=self._run, name="demand", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write down what was counted; while the database is away it is kept for the next time."""
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            self._write(counts)
        except (UnavailableError, SQLAlchemyError) as err:
            self._keep(counts)
            if not self._is_away:
                log.warning("what clients ask for cannot be written down now: %s", str(err).splitlines()[0])
            self._is_away = True
        else:
            self._is_away = False

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._pause_s)
            try:
                self.flush()
            except Exception:  # the next turn may do better
                log.exception("what clients ask for was not written down")

    def _write(self, counts: Mapping[Asked, int]) -> None:
        """By a connection of its own, closed again: a few times a minute, and nobody waits."""
        database = self._opened()
        try:
            with transaction(database) as session:
                write(session, counts)
        finally:
            database.dispose()

    def _opened(self) -> Engine:
        url = make_url(self._url)
        if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
            raise UnavailableError("there is no database yet")  # and opening would make one
        return engine(self._url)

    def _keep(self, counts: Mapping[Asked, int]) -> None:
        with self._lock:
            for key, asks in counts.items():
                if key in self._counts or len(self._counts) < _MOST_NAMES:
                    self._counts[key] = self._counts.get(key, 0) + asks


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
