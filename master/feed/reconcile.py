"""Compare everything that the upstream lists with the database: what the news left out is made good (W-10).

The list goes into a temporary SQLite file, so memory does not grow with it. First the listed names are walked in
their order, then the farm's own projects; each batch is one transaction with the mark, so a restart reads the list
again and goes on where the mark says.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from datetime import timedelta

from packaging.utils import NormalizedName
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from master import marks
from master.feed.choose import RECONCILE, ask_for_reconcile
from master.feed.news import Event, Kind
from master.feed.simple import read_list
from master.feed.take import Adopt, take
from master.upstream import Upstream
from schema.db import bulk
from schema.db.models import Mark, Project, Request
from schema.db.session import now as clock
from schema.db.session import transaction

log = logging.getLogger(__name__)

_BATCH = 1000
_LISTED, _OWN = "listed:", "own:"


def turn(database: Engine, upstream: Upstream, *, every_s: float, adopt: Adopt | None = None) -> bool:
    """Compare everything if that is due or was asked for; say whether it was. Raise UpstreamError, to go on later."""
    with transaction(database) as session:
        mark = session.get(Mark, RECONCILE)
        if mark is not None and mark.finished_at is not None:
            if clock(session) - mark.finished_at < timedelta(seconds=every_s):
                return False
            ask_for_reconcile(session)
        elif not _runs(mark):
            return False
    with closing(sqlite3.connect("")) as listing:  # a temporary file that goes with the connection
        serial = _fetch(upstream, listing)
        while _step(database, listing, serial, adopt):
            pass
    return True


def look_at_all(database: Engine) -> bool:
    """The same for a farm of a few projects, where that was asked for: each own page is read, and the list is not."""
    with transaction(database) as session:
        mark = session.get(Mark, RECONCILE)
        if mark is None or not _runs(mark):
            return False
        now = clock(session)
        session.execute(update(Project).where(Project.check_at > now).values(check_at=now))
        mark.done = mark.total = session.scalar(select(func.count()).select_from(Project)) or 0
        mark.finished_at = mark.changed_at = now
        mark.note = "each project's page is read in its turn"
        return True


def _runs(mark: Mark | None) -> bool:
    """Whether a comparison was asked for, or began, and has not ended."""
    return mark is not None and mark.started_at is not None and mark.finished_at is None


def _fetch(upstream: Upstream, listing: sqlite3.Connection) -> int:
    listing.execute("CREATE TABLE listed (name TEXT PRIMARY KEY, serial INTEGER NOT NULL) WITHOUT ROWID")
    newest = 0

    def note(name: NormalizedName, serial: int) -> None:
        nonlocal newest
        newest = max(newest, serial)
        listing.execute("INSERT OR REPLACE INTO listed VALUES (?, ?)", (name, serial))

    read_list(upstream, note)
    return newest


def _step(database: Engine, listing: sqlite3.Connection, serial: int, adopt: Adopt | None) -> bool:
    """One batch; whether there may be more."""
    with transaction(database) as session:
        mark = marks.at(session, RECONCILE)
        if not mark.total:
            (listed,) = listing.execute("SELECT count(*) FROM listed").fetchone()
            mark.total = listed + (session.scalar(select(func.count()).select_from(Project)) or 0)
            mark.note = "compares the upstream's list"
        if not mark.cursor.startswith(_OWN):
            return _walk_listed(session, mark, listing, adopt)
        return _walk_own(session, mark, listing, serial)


def _walk_listed(session: Session, mark: Mark, listing: sqlite3.Connection, adopt: Adopt | None) -> bool:
    after = mark.cursor.removeprefix(_LISTED)
    rows = listing.execute(
        "SELECT name, serial FROM listed WHERE name > ? ORDER BY name LIMIT ?", (after, _BATCH)
    ).fetchall()
    now = clock(session)
    names = [name for name, _ in rows]
    query = select(Project.name, Project.serial).where(Project.name.in_(names))
    taken = {row.name: row.serial for row in session.execute(query)}
    take(
        session,
        (Event(NormalizedName(name), serial) for name, serial in rows if serial > taken.get(name, 0)),
        now=now,
        adopt=adopt,
        backlog=True,
    )
    mark = marks.at(session, RECONCILE)
    mark.done, mark.changed_at = mark.done + len(rows), now
    mark.cursor = f"{_LISTED}{names[-1]}" if len(rows) == _BATCH else f"{_OWN}0"
    if (mark.done // _BATCH).bit_count() == 1:  # at each doubling: these may all be new
        bulk.analyze(session, Project, Request)
    return True


def _walk_own(session: Session, mark: Mark, listing: sqlite3.Connection, serial: int) -> bool:
    after = int(mark.cursor.removeprefix(_OWN))
    rows = session.execute(
        select(Project.id, Project.name, Project.status).where(Project.id > after).order_by(Project.id).limit(_BATCH)
    ).all()
    gone = [row.name for row in rows if row.status != "missing" and not _is_listed(listing, row.name)]
    now = clock(session)
    # The list may be older than a project; the look that follows decides, and twice (R15).
    take(session, (Event(NormalizedName(name), serial, Kind.TAKEN_AWAY) for name in gone if serial), now=now)
    mark = marks.at(session, RECONCILE)
    mark.done, mark.changed_at = mark.done + len(rows), now
    if rows:
        mark.cursor = f"{_OWN}{rows[-1].id}"
    if gone:
        log.warning("%s projects are no longer listed upstream, such as %s", len(gone), gone[0])
    if len(rows) == _BATCH:
        return True
    mark.finished_at, mark.cursor, mark.note = now, "", f"compared with serial {serial}"
    mark.total = mark.done
    log.info("reconciled with the upstream: %s names compared", mark.done)
    return False


def _is_listed(listing: sqlite3.Connection, name: str) -> bool:
    return listing.execute("SELECT 1 FROM listed WHERE name = ?", (name,)).fetchone() is not None
