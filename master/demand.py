"""What clients asked the index for becomes requests; names that the upstream does not have are forgotten again."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from packaging.requirements import Requirement
from sqlalchemy import Engine, delete, exists, or_, select, text, tuple_
from sqlalchemy.orm import Session

from master import requests
from schema.db.models import Build, Demand, DirtyPage, Project, Request, UpstreamFile, Wheel
from schema.db.session import transaction
from schema.errors import FarmError
from schema.platforms import Platform
from schema.sections import Releases
from schema.settings import Settings
from schema.states import BuildPolicy

log = logging.getLogger(__name__)

BECAUSE = "a client asked for it"

_NEW_A_MINUTE = 60
_ROWS_A_TURN = 100
_REMEMBERED = 10_000
_REMEMBERED_S = 86_400.0


class Asked:
    """Takes the rows of the front-end, some each turn.

    new_a_minute: so many projects that the farm did not know are taken in a minute, those first that are asked for most
    """

    def __init__(self, settings: Settings, *, new_a_minute: int = _NEW_A_MINUTE) -> None:
        self._settings = settings
        self._pace = _Pace(new_a_minute)
        self._unknown = _Remembered()
        self._cursor = 0

    def turn(self, database: Engine) -> int:
        """Take rows and forget unknown projects; count the rows that were taken."""
        with transaction(database) as session:
            forgotten, self._cursor = forget(session, after=self._cursor)
            taken = self._take(session) if self._settings.watch.demand else 0
        for name in forgotten:  # only once that is certain
            self._unknown.add(name)
            log.info("%s: a client asked for it, but the upstream has no such project", name)
        return taken

    def _take(self, session: Session) -> int:
        taken: list[tuple[str, str]] = []
        for row in _rows(session, known=True):
            self._request(session, row)
            taken.append((row.name, row.view))
        let_in: set[str] = set()
        for row in _rows(session, known=False):
            if row.name not in self._unknown:
                if row.name not in let_in and not self._pace.allows():
                    continue
                let_in.add(row.name)
                self._request(session, row)
            taken.append((row.name, row.view))
        if taken:
            session.execute(delete(Demand).where(tuple_(Demand.name, Demand.view).in_(taken)))
        return len(taken)

    def _request(self, session: Session, row: Demand) -> None:
        platforms = [item for item in self._settings.farm.platforms if item.view == row.view]
        if row.view and not platforms:
            return  # the farm no longer builds for it
        try:
            requests.add(
                session,
                Requirement(row.name),
                platforms=platforms,
                policy=BuildPolicy.MISSING,
                origin="demand",
                because=BECAUSE,
                every_release=self._settings.watch.releases is Releases.ALL,
            )
        except (FarmError, ValueError) as err:
            log.warning("%s was asked for, but cannot be: %s", row.name, err)


def _rows(session: Session, *, known: bool) -> Sequence[Demand]:
    """What is asked for most, of projects that are known here, or of the others: these must not hold up those."""
    is_here = exists().where(Project.name == Demand.name)
    order = (Demand.asks.desc(), Demand.name, Demand.view)
    return session.scalars(
        select(Demand).where(is_here if known else ~is_here).order_by(*order).limit(_ROWS_A_TURN)
    ).all()


def forget(session: Session, *, after: int = 0, limit: int = _ROWS_A_TURN) -> tuple[list[str], int]:
    """Remove projects that the upstream does not have and only clients asked for, unless something refers to them.

    after: the id of the last request that was looked at; 0 begins anew
    Return their names, and where the next call goes on: so each call costs the same, however many were asked for.
    """
    demanded = text("origin = 'demand'")  # written out, so that the partial index serves
    looked_at = session.execute(
        select(Request.id, Request.project_id).where(demanded, Request.id > after).order_by(Request.id).limit(limit)
    ).all()
    if not looked_at:
        return [], 0
    missing = session.execute(
        select(Project.id, Project.name).where(
            Project.id.in_({row.project_id for row in looked_at}),
            Project.status == "missing",
            Project.checked_at.is_not(None),
            ~exists().where(Request.project_id == Project.id, Request.origin != "demand"),
            ~exists().where(UpstreamFile.project_id == Project.id),
            ~exists().where(or_(Build.project_id == Project.id, Build.waits_for == Project.id)),
            ~exists().where(Wheel.project_id == Project.id),
        )
    ).all()
    _remove(session, [row.id for row in missing])
    return [row.name for row in missing], looked_at[-1].id if len(looked_at) == limit else 0


def _remove(session: Session, project_ids: Sequence[int]) -> None:
    if not project_ids:
        return
    session.execute(delete(Request).where(Request.project_id.in_(project_ids), Request.origin == "demand"))
    session.execute(delete(DirtyPage).where(DirtyPage.project_id.in_(project_ids)))
    session.execute(delete(Project).where(Project.id.in_(project_ids)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What clients asked for and do not have yet.

    view: the part of the index, "" for all; asks: None once the master took it
    """

    name: str
    view: str
    asks: int | None
    asked_at: datetime
    note: str


def still_open(session: Session, *, limit: int = 50) -> list[Open]:
    """First what the master has not taken yet, then what it asked for and has no wheel of; *limit* of each at most."""
    rows = session.scalars(select(Demand).order_by(Demand.asks.desc(), Demand.name, Demand.view).limit(limit)).all()
    found = [
        Open(name=row.name, view=row.view, asks=row.asks, asked_at=row.asked_at, note="not taken yet") for row in rows
    ]
    wanted = session.scalars(
        select(Request)
        .join(Project)
        .where(text("origin = 'demand'"), ~exists().where(Wheel.project_id == Request.project_id))
        .order_by(Request.id.desc())
        .limit(limit)
    ).all()
    return [
        *found,
        *(
            Open(
                name=item.project.name,
                view=Platform.parse(item.platform).view if item.platform else "",
                asks=None,
                asked_at=item.created_at,
                note=item.problem or "no wheel here yet",
            )
            for item in wanted
        ),
    ]


class _Pace:
    """So many a minute, at most a minute's worth at once."""

    def __init__(self, a_minute: int) -> None:
        self._a_minute, self._left, self._at = a_minute, float(a_minute), time.monotonic()

    def allows(self) -> bool:
        moment = time.monotonic()
        self._left = min(self._left + (moment - self._at) * self._a_minute / 60, float(self._a_minute))
        self._at = moment
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Remembered:
    """Names that the upstream did not have within the last day; the oldest go first where there are too many."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, name: str) -> None:
        self._until[name] = time.monotonic() + _REMEMBERED_S
        self._until.move_to_end(name)
        if len(self._until) > _REMEMBERED:
            self._until.popitem(last=False)

    def __contains__(self, name: str) -> bool:
        return self._until.get(name, 0.0) > time.monotonic()
