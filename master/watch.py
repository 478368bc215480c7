"""Look at the projects that somebody asked for, one after the other: what is new, what is gone (W-04, W-06, W-08).

A page is fetched outside any transaction, and taken in one short one. A project whose page fails waits longer and
longer; the others do not notice (R14).
"""

from __future__ import annotations

import logging
import random
import threading
from datetime import datetime, timedelta

from packaging.utils import NormalizedName
from sqlalchemy import Engine, exists, select
from sqlalchemy.orm import Session

from master import catalogue
from master.upstream import NotModified, Page, Upstream
from schema.db.models import Project, Request
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.errors import UnknownProjectError, UpstreamError
from schema.printable import one_line

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 15.0
_LONGEST_PAUSE_S = 6 * 3600.0
_STALE_PAUSE_S = 240.0
_STALE_LOOKS = 60


def due(session: Session, now: datetime, *, limit: int = 50) -> list[int]:
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
        project = session.get_one(Project, project_id)
        name, etag, last_modified = NormalizedName(project.name), project.etag, project.last_modified
        if project.event_serial > project.serial:  # there is news: "not modified" could only be a stale answer
            etag = last_modified = ""
    seen: Page | NotModified | UpstreamError
    try:
        seen = upstream.page(name, etag=etag, last_modified=last_modified)
    except UpstreamError as err:
        seen = err
    try:
        with transaction(database) as session:
            return _take(session, project_id, seen, poll_s=poll_s, now=now or clock(session))
    except UpstreamError as err:  # a page that can be read but not believed: the transaction is undone
        with transaction(database) as session:
            return _take(session, project_id, err, poll_s=poll_s, now=now or clock(session))


def look_at_due(
    database: Engine, upstream: Upstream, *, poll_s: float, stop: threading.Event | None = None, limit: int = 20
) -> int:
    """Look at the projects that are due, *limit* at most, until *stop* is set or the upstream asks for a rest."""
    with transaction(database) as session:
        projects = due(session, clock(session), limit=limit)
    looked = 0
    for project_id in projects:
        if upstream.rest_s or (stop is not None and stop.is_set()):
            break
        look(database, upstream, project_id, poll_s=poll_s)
        looked += 1
    return looked


def _take(
    session: Session, project_id: int, seen: Page | NotModified | UpstreamError, *, poll_s: float, now: datetime
) -> bool:
    project = session.get_one(Project, project_id)
    project.check_at = now + timedelta(seconds=_about(poll_s))
    if isinstance(seen, UpstreamError) and not isinstance(seen, UnknownProjectError):
        _note_error(project, seen, now)
        return False
    if not isinstance(seen, UnknownProjectError) and _stale(project, seen, now):
        return False
    again_soon = isinstance(seen, UnknownProjectError) and project.event_serial > project.serial
    if isinstance(seen, UnknownProjectError):
        changed = catalogue.missing(session, project, now)
    elif isinstance(seen, NotModified):
        changed = catalogue.confirm(session, project, now)
    else:
        changed = catalogue.take(session, project, seen, now)
    session.flush()
    if again_soon or catalogue.unconfirmed(session, project, now):
        soon = now + catalogue.CONFIRMED_AFTER + timedelta(seconds=_about(_FIRST_PAUSE_S))
        project.check_at = min(project.check_at, soon)
    return changed


def _stale(project: Project, seen: Page | NotModified, now: datetime) -> bool:
    """Whether the page is older than the news of it (W-07): then it is not taken, and asked for again soon.

    An event that no page ever bears out was none: after some hours the page is taken as it is, and nothing is told.
    """
    serial = seen.serial or (project.serial if isinstance(seen, NotModified) else 0)
    if not serial or serial >= project.event_serial:
        return False
    if project.errors >= _STALE_LOOKS:
        log.warning("%s: no page bears out serial %s; serial %s is taken", project.name, project.event_serial, serial)
        project.event_serial, project.serial = serial, max(project.serial, serial)
        return False
    _note_error(project, UpstreamError(f"the page has serial {serial}, the news {project.event_serial}"), now)
    project.check_at = min(project.check_at, now + timedelta(seconds=_about(_STALE_PAUSE_S)))
    return True


def _note_error(project: Project, err: UpstreamError, now: datetime) -> None:
    project.errors += 1
    project.error = one_line(str(err), limit=1000)
    pause_s = max(pause(project.errors), err.retry_after_s or 0.0)
    project.check_at = now + timedelta(seconds=pause_s)
    log.warning("%s: %s; the next look is in %.0f s", project.name, project.error, pause_s)


def pause(errors: int) -> float:
    """Seconds until another look after so many failed ones in a row: doubled each time, and never quite the same."""
    return _about(min(_FIRST_PAUSE_S * 2.0 ** min(errors - 1, 30), _LONGEST_PAUSE_S))


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.85, 1.15)  # noqa: S311 - spreads load only
