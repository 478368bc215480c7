"""What was seen of projects at the upstream, taken into the database (W-04, W-06, W-07, W-08).

A page that is read for the first time goes in by bulk statements, for there is nothing to compare it with: a whole
catalogue comes in that way. Every other reading goes through ``catalogue``, project by project.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from master import catalogue, first_reading
from master.fetching import Seen
from master.upstream import NotModified, Page
from schema.db.models import Project
from schema.errors import UnknownProjectError, UpstreamError
from schema.printable import one_line

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 15.0
_LONGEST_PAUSE_S = 6 * 3600.0
_STALE_PAUSE_S = 240.0
_STALE_LOOKS = 60


def take(session: Session, seen: Mapping[int, Seen], *, poll_s: float, now: datetime) -> int:
    """Take what was seen of the projects with these ids; count those of which anything changed.

    poll_s: until the next look, give or take. Raise UpstreamError for a page that cannot be believed.
    """
    projects = session.scalars(select(Project).where(Project.id.in_(seen)).order_by(Project.id)).all()
    first = [
        first_reading.Reading(project=project, page=page, check_at=now + timedelta(seconds=_about(poll_s)))
        for project in projects
        if isinstance(page := seen[project.id], Page) and _is_first(project, page)
    ]
    read = {item.project.id for item in first}
    changed = sum(
        _take(session, project, seen[project.id], poll_s, now) for project in projects if project.id not in read
    )
    first_reading.take(session, first, now)
    return changed + len(first)


def pause(errors: int) -> float:
    """Seconds until another look after so many failed ones in a row: doubled each time, and never quite the same."""
    return _about(min(_FIRST_PAUSE_S * 2.0 ** min(errors - 1, 30), _LONGEST_PAUSE_S))


def _is_first(project: Project, page: Page) -> bool:
    return project.checked_at is None and not 0 < page.serial < project.event_serial


def _take(session: Session, project: Project, seen: Seen, poll_s: float, now: datetime) -> bool:
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


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.85, 1.15)  # noqa: S311 - spreads load only
