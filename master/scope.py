"""What the farm wants by itself, by its settings: all of the upstream, or the names that a pattern fits.

``adopt`` takes names as the feed or a reconcile brings them. After a change of the settings ``Walk`` brings what is
there already in line, in the background; names that the farm never met come with the next reconcile.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Engine, func, literal, select
from sqlalchemy.orm import Session

from master import marks, unasked, undecided
from master.batches import batches
from master.requests import ALL_OF_UPSTREAM
from schema import names as checked
from schema.db.models import Mark, Project, Request
from schema.db.session import insert, transaction
from schema.db.session import now as clock
from schema.errors import NotANameError
from schema.sections import Releases, Scope, WatchSection
from schema.settings import Settings
from schema.states import BuildPolicy

log = logging.getLogger(__name__)

WALK = "scope"
COUNT = "in scope"  # its ``done``: how many projects the settings want by themselves

_BATCH = 500
_COUNT_NOTE = "projects that the settings want by themselves"


def chosen(name: str, watch: WatchSection) -> str:
    """Why the settings want the project *name* (normalised), such as ``pattern django-*``; "" if they do not."""
    if watch.scope is Scope.ALL:
        return ALL_OF_UPSTREAM
    fits = (pattern for pattern in watch.patterns if checked.fits(name, pattern))
    return f"pattern {found}" if (found := next(fits, "")) else ""


def adopt(session: Session, names: Iterable[str], *, settings: Settings, now: datetime) -> int:
    """Want those of the upstream's projects *names* that the settings have in scope; count those that are new in it.

    Any spelling will do; what is no name is passed over. Safe to repeat; the queries grow with the batches only.
    """
    wanted: dict[str, tuple[str, str]] = {}
    for title in names:
        name = _name(title)
        if name and (because := chosen(name, settings.watch)):
            wanted.setdefault(name, (title, because))
    added = 0
    for batch in batches(sorted(wanted), _BATCH):  # sorted: two who adopt at once never wait for each other in a circle
        _add_projects(session, {name: wanted[name][0] for name in batch}, now)
        by_reason: defaultdict[str, list[str]] = defaultdict(list)
        for name in batch:
            by_reason[wanted[name][1]].append(name)
        for because, group in by_reason.items():
            added += _add_requests(session, group, because=because, settings=settings, now=now)
    count(session, added, now)
    return added


def count(session: Session, difference: int, now: datetime) -> None:
    """Keep the number of projects in scope."""
    if difference:
        new = insert(session, Mark.__table__).values(
            name=COUNT, serial=0, cursor="", etag="", done=difference, total=0, note=_COUNT_NOTE, changed_at=now
        )
        summed = {"done": Mark.done + difference, "changed_at": now}
        session.execute(new.on_conflict_do_update(index_elements=["name"], set_=summed))


class Walk:
    """Goes through the projects once after each change of the settings; ``turn`` does one batch.

    The mark ``scope`` holds the settings' fingerprint and how far the walk came, so a restart goes on there.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._print = settings, fingerprint(settings)
        self._done = False

    def turn(self, database: Engine) -> int:
        """Bring the next projects in line; count them. 0: nothing is left to do, and the database is left alone."""
        if self._done:
            return 0
        with transaction(database) as session:
            now = clock(session)
            mark = self._mark(session, now)
            rows = session.execute(
                select(Project.id, Project.name)
                .where(Project.id > int(mark.cursor or 0))
                .order_by(Project.id)
                .limit(_BATCH)
            ).all()
            if mark.finished_at is None and rows:
                self._bring_in_line(session, {row.id: row.name for row in rows}, now)
                mark.cursor, mark.done, mark.changed_at = str(rows[-1].id), mark.done + len(rows), now
                return len(rows)
            if mark.finished_at is None:
                mark.finished_at = mark.changed_at = now
        self._done = True
        return 0

    def _mark(self, session: Session, now: datetime) -> Mark:
        mark = marks.at(session, WALK)
        if mark.etag != self._print:
            log.info("the settings want %s; what is known is compared with that", described(self._settings.watch))
            total = session.scalar(select(func.count()).select_from(Project)) or 0
            marks.begin(mark, fingerprint=self._print, total=total, note=described(self._settings.watch), now=now)
            session.flush()
        return mark

    def _bring_in_line(self, session: Session, projects: dict[int, str], now: datetime) -> None:
        """Ask before taking back: a project may be in scope for another reason now, and its builds stay wanted."""
        found = session.scalars(
            select(Request).where(Request.project_id.in_(projects), Request.origin == "scope")
        ).all()
        adopt(session, projects.values(), settings=self._settings, now=now)
        kept: list[Request] = []
        gone: list[Request] = []
        for request in found:
            fits = request.because == chosen(projects[request.project_id], self._settings.watch)
            (kept if fits else gone).append(request)
        unasked.withdraw(session, gone, why="it is no longer in the farm's scope", now=now)
        count(session, -len(gone), now)
        self._update(session, kept)

    def _update(self, session: Session, kept: Sequence[Request]) -> None:
        every = self._settings.watch.releases is Releases.ALL
        policy = self._settings.farm.build
        other = [item for item in kept if (item.every_release, item.policy) != (every, policy)]
        undecided.again(session, *(item.project_id for item in other))
        for request in other:
            request.every_release, request.policy = every, policy


def described(watch: WatchSection) -> str:
    """The scope in a few words."""
    releases = "every release" if watch.releases is Releases.ALL else "the newest release"
    if watch.scope is Scope.ALL:
        return f"{releases} of every project of the upstream"
    if watch.patterns:
        return f"{releases} of projects named {', '.join(watch.patterns)}"
    return "only what is asked for"


def fingerprint(settings: Settings) -> str:
    """Differs when a change of the settings may change what is in scope, or how it is wanted."""
    watch = settings.watch
    text = json.dumps([watch.scope, watch.releases, list(watch.patterns), settings.farm.build])
    return hashlib.sha256(text.encode()).hexdigest()


def _add_projects(session: Session, titles: dict[str, str], now: datetime) -> None:
    table = Project.__table__
    there = set(session.scalars(select(Project.name).where(Project.name.in_(titles))))
    rows = [
        {"name": name, "title": title, "status": "active", "check_at": now}
        for name, title in titles.items()
        if name not in there
    ]
    if rows:
        session.execute(insert(session, table).on_conflict_do_nothing(), rows)


def _add_requests(session: Session, group: Sequence[str], *, because: str, settings: Settings, now: datetime) -> int:
    """Ask for the projects *group* where that was not done before, and have them decided."""
    columns = {
        "specifier": "",
        "platform": "",
        "extras": "",
        "policy": str(settings.farm.build),
        "dependencies": str(BuildPolicy.MISSING if because == ALL_OF_UPSTREAM else settings.farm.build),
        "origin": "scope",
        "every_release": settings.watch.releases is Releases.ALL,
        "because": because,
        "problem": "",
    }
    source = select(
        Project.id, *(literal(value) for value in columns.values()), literal(now, Request.__table__.c.created_at.type)
    ).where(Project.name.in_(group))
    new = (
        insert(session, Request.__table__)
        .from_select(["project_id", *columns, "created_at"], source, include_defaults=False)
        .on_conflict_do_nothing()
        .returning(Request.project_id)
    )
    added = list(session.execute(new).scalars())
    undecided.mark(session, *added)
    return len(added)


def _name(title: str) -> str:
    try:
        name = checked.project_name(title)
    except NotANameError:
        return ""
    return name if len(name) <= 255 else ""  # noqa: PLR2004 - the column's width
