"""Downloads in the database: what was counted is added, old days are folded, and what they come to is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from sqlalchemy import ColumnElement, delete, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from schema.clients import UNKNOWN, Client
from schema.db.models import Download
from schema.db.session import insert

_MOST_ROWS_A_DAY = 100_000
_KEY = ("day", "filename", "client", "version", "python", "distribution", "arch")


class Fetched(NamedTuple):
    """A file that was downloaded on a day (UTC), and by whom."""

    day: date
    filename: str
    client: Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Downloads of a project, most first: of each file, and by each kind of installer.

    Of folded months it is not known who asked: these count for files, and as ``""`` among the others.
    """

    count: int
    files: Mapping[str, int]
    clients: Mapping[str, int]
    pythons: Mapping[str, int]
    distributions: Mapping[str, int]
    architectures: Mapping[str, int]


def add(session: Session, counts: Mapping[Fetched, int], *, most_rows_a_day: int = _MOST_ROWS_A_DAY) -> None:
    """Add to the table. Where a day has its fill of rows, who asked is no longer told apart: files are not made up."""
    rows: dict[tuple[Any, ...], int] = {}
    full = {day for day in {item.day for item in counts} if _rows_of(session, day) >= most_rows_a_day}
    for item, count in counts.items():
        who = UNKNOWN if item.day in full else item.client
        key = (item.day, item.filename, *who)
        rows[key] = rows.get(key, 0) + count
    # Sorted: two workers never wait for each other in a circle.
    values = [
        {**dict(zip(_KEY, key, strict=True)), "project": project_of(key[1]), "count": rows[key]} for key in sorted(rows)
    ]
    if not values:
        return
    added = insert(session, Download.__table__)
    summed = {"count": Download.count + added.excluded["count"]}
    session.execute(added.on_conflict_do_update(index_elements=_KEY, set_=summed), values)


def fold(session: Session, *, before: date) -> int:
    """Fold the oldest day before *before* into its month; return how many rows that took away, 0 for none left."""
    told = Download.client != ""
    oldest = session.scalar(select(func.min(Download.day)).where(told))
    if oldest is None or oldest >= before:
        return 0
    month = oldest.replace(day=1)
    columns = [literal(month), Download.filename, *(literal("") for _ in _KEY[2:]), Download.project]
    summed = (
        select(*columns, func.sum(Download.count))
        .where(told, Download.day == oldest)
        .group_by(Download.filename, Download.project)
    )
    added = insert(session, Download.__table__).from_select([*_KEY, "project", "count"], summed)
    more = {"count": Download.count + added.excluded["count"]}
    session.execute(added.on_conflict_do_update(index_elements=_KEY, set_=more))
    return session.execute(delete(Download).where(told, Download.day == oldest)).rowcount  # type: ignore[attr-defined, no-any-return]


def days(session: Session, project: str, *, since: date, until: date) -> dict[date, int]:
    """Day → downloads of *project* (normalised), each day of the range, 0 where there was none.

    A folded month counts on its first day.
    """
    asked = (
        select(Download.day, func.sum(Download.count))
        .where(Download.project == project, Download.day.between(since, until))
        .group_by(Download.day)
    )
    found = {day: int(count) for day, count in session.execute(asked)}
    span = (since + timedelta(days=number) for number in range((until - since).days + 1))
    return {day: found.get(day, 0) for day in span}


def totals(session: Session, project: str, *, since: date) -> Totals:
    """What the downloads of *project* (normalised) since that day come to."""
    of_project = (Download.project == project, Download.day >= since)
    files = _by(session, Download.filename, *of_project)
    return Totals(
        count=sum(files.values()),
        files=files,
        clients=_by(session, Download.client, *of_project),
        pythons=_by(session, Download.python, *of_project),
        distributions=_by(session, Download.distribution, *of_project),
        architectures=_by(session, Download.arch, *of_project),
    )


def most(session: Session, *, since: date, limit: int) -> dict[str, int]:
    """The projects that were downloaded most since that day, most first."""
    return _by(session, Download.project, Download.day >= since, limit=limit)


def project_of(filename: str) -> str:
    """The project of a wheel, normalised; "" for what is no wheel's name."""
    try:
        return parse_wheel_filename(filename)[0]
    except InvalidWheelFilename:
        return ""


def _by(
    session: Session, column: InstrumentedAttribute[str], *which: ColumnElement[bool], limit: int | None = None
) -> dict[str, int]:
    count = func.sum(Download.count)
    asked = select(column, count).where(*which).group_by(column).order_by(count.desc(), column).limit(limit)
    return {name: int(found) for name, found in session.execute(asked)}


def _rows_of(session: Session, day: date) -> int:
    return session.scalar(select(func.count()).where(Download.day == day)) or 0
