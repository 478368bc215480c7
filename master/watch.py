"""Look at the projects that somebody asked for: what is new, what is gone (W-04, W-06, W-08).

Pages are fetched one after the other outside any transaction, and taken some at once in one short transaction; where
very many are due, another process fetches while this one takes. A project whose page fails waits longer and longer;
the others do not notice (R14).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import datetime

from packaging.utils import NormalizedName
from sqlalchemy import Engine, exists, select
from sqlalchemy.orm import Session

from master import readings
from master.batches import batches
from master.fetching import Due, Seen, fetch, fetched
from master.reader import Batch, Reader, ReaderError
from master.upstream import Upstream
from schema.db.models import Project, Request
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.errors import UnavailableError, UpstreamError

log = logging.getLogger(__name__)

_AT_ONCE = 200
_BACKLOG = 2000


def due(session: Session, now: datetime, *, limit: int = _AT_ONCE) -> list[int]:
    """The projects to look at, the longest due first; only those that somebody asked for."""
    query = (
        select(Project.id)
        .where(Project.check_at <= now, exists().where(Request.project_id == Project.id))
        .order_by(Project.check_at, Project.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def look(database: Engine, upstream: Upstream, project_id: int, *, poll_s: float, now: datetime | None = None) -> bool:
    """Look at one project; say whether anything of it has changed. Nothing that the upstream does is raised.

    poll_s: until the next look, give or take; now: None for the database's clock
    """
    with transaction(database) as session:
        (project,) = _dues(session, [project_id])
    return bool(_take(database, {project.id: fetch(upstream, project)}, poll_s=poll_s, now=now))


def look_at_due(
    database: Engine,
    upstream: Upstream,
    *,
    poll_s: float,
    stop: threading.Event | None = None,
    limit: int = _AT_ONCE,
    reader: Reader | None = None,
) -> int:
    """Look at projects that are due, *limit* at most; count them.

    The round ends early after a second, when *stop* is set, and when the upstream asks for a rest: what was fetched
    until then is taken. 0: nothing was due, or may be asked for now.
    reader: fetches where more than *limit* are due, many times as many in a round
    """
    with transaction(database) as session:
        projects = _dues(session, due(session, clock(session), limit=limit if reader is None else limit + _BACKLOG))
    if reader is not None and len(projects) > limit:
        try:
            return _look_side_by_side(database, upstream, reader, projects, poll_s=poll_s, stop=stop)
        except ReaderError as err:
            log.warning("%s; the pages are read here", err)
    elif reader is not None:
        reader.close()
    seen = dict(fetched(upstream, projects[:limit], stop))
    _take(database, seen, poll_s=poll_s)
    return len(seen)


def _look_side_by_side(
    database: Engine,
    upstream: Upstream,
    reader: Reader,
    projects: Sequence[Due],
    *,
    poll_s: float,
    stop: threading.Event | None,
) -> int:
    """Take what the reader brought last while it fetches the next; raise ReaderError."""
    last: Batch | None = None
    looked = 0
    try:
        for some in batches(projects, _AT_ONCE):
            if upstream.rest_s or (stop is not None and stop.is_set()):
                break
            with upstream.lent():
                reader.ask(some)
                _take(database, last.seen() if last else {}, poll_s=poll_s)
                last = reader.answer()
            looked += last.looked
            upstream.rest(last.rest_s)
    except BaseException:
        reader.close()  # its answer may still be under way
        raise
    _take(database, last.seen() if last else {}, poll_s=poll_s)
    return looked


def _dues(session: Session, ids: Sequence[int]) -> list[Due]:
    columns = (Project.id, Project.name, Project.etag, Project.last_modified, Project.serial, Project.event_serial)
    rows = {row.id: row for row in session.execute(select(*columns).where(Project.id.in_(ids)))}
    found = []
    for row in (rows[number] for number in ids if number in rows):
        news = row.event_serial > row.serial  # then "not modified" could only be a stale answer
        kept = ("", "") if news else (row.etag, row.last_modified)
        found.append(Due(id=row.id, name=NormalizedName(row.name), etag=kept[0], last_modified=kept[1]))
    return found


def _take(database: Engine, seen: dict[int, Seen], *, poll_s: float, now: datetime | None = None) -> int:
    """Take all that was seen in one transaction; count the projects that changed.

    Where that fails for whatever reason, each is taken by itself: one that cannot be taken must not hold up the others.
    """
    if not seen:
        return 0
    try:
        with transaction(database) as session:
            return readings.take(session, seen, poll_s=poll_s, now=now or clock(session))
    except UnavailableError:
        raise
    except Exception as err:  # noqa: BLE001 - what the upstream wrote may break anything
        if len(seen) == 1:
            return _give_up(database, seen, err, poll_s=poll_s, now=now)
        log.info("%s pages cannot be taken at once (%s); each is taken by itself", len(seen), err)
        return sum(_take(database, {number: page}, poll_s=poll_s, now=now) for number, page in seen.items())


def _give_up(database: Engine, seen: dict[int, Seen], err: Exception, *, poll_s: float, now: datetime | None) -> int:
    """A page that can be read but not believed, or not be kept: the transaction was undone, the error is noted."""
    if any(isinstance(item, UpstreamError) for item in seen.values()):
        raise err  # noting an error is what failed: the database is away
    if not isinstance(err, UpstreamError):
        log.error("the page of project %s cannot be taken", next(iter(seen)), exc_info=err)
    problem = err if isinstance(err, UpstreamError) else UpstreamError(f"its page cannot be taken: {err}")
    return _take(database, dict.fromkeys(seen, problem), poll_s=poll_s, now=now)
