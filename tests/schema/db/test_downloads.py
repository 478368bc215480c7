"""Downloads in the database: added up, folded, and asked for."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import Engine, event, func, select

from schema.clients import UNKNOWN, Client
from schema.db import downloads
from schema.db.downloads import Fetched
from schema.db.models import Download
from schema.db.session import transaction

PIP = Client("pip", "26.3", "3.11", "debian 12", "x86_64")
UV = Client("uv", "0.13", "3.13", "ubuntu 24.04", "aarch64")
DAY = date(2026, 11, 20)
WHEEL, NEWER, OTHER = "demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl", "some_thing-1.0-py3-none-any.whl"


def add(database: Engine, counts: dict[Fetched, int], **limits: int) -> None:
    with transaction(database) as session:
        downloads.add(session, counts, **limits)


def rows(database: Engine) -> dict[tuple[date, str, str], int]:
    with transaction(database) as session:
        return {(row.day, row.filename, row.client): row.count for row in session.scalars(select(Download))}


def test_counts_add_up(database: Engine) -> None:
    for count in (2, 3):
        add(database, {Fetched(DAY, WHEEL, PIP): count, Fetched(DAY, WHEEL, UV): 1})

    assert rows(database) == {(DAY, WHEEL, "pip"): 5, (DAY, WHEEL, "uv"): 2}


def test_nothing_is_no_row(database: Engine) -> None:
    add(database, {})

    assert rows(database) == {}


def test_a_day_that_has_its_fill_no_longer_tells_installers_apart(database: Engine) -> None:
    add(database, {Fetched(DAY, WHEEL, PIP): 1, Fetched(DAY, WHEEL, UV): 1})
    add(database, {Fetched(DAY, WHEEL, PIP): 2, Fetched(DAY, NEWER, UV): 3}, most_rows_a_day=2)

    assert rows(database) == {
        (DAY, WHEEL, "pip"): 1, (DAY, WHEEL, "uv"): 1, (DAY, WHEEL, "other"): 2, (DAY, NEWER, "other"): 3,
    }  # fmt: skip


def test_old_days_are_folded_into_their_month_one_at_a_time(database: Engine) -> None:
    first, second, month = DAY, DAY + timedelta(days=1), DAY.replace(day=1)
    add(database, {Fetched(day, WHEEL, who): 1 for day in (month, first, second) for who in (PIP, UV)})
    add(database, {Fetched(first, OTHER, PIP): 5, Fetched(DAY + timedelta(days=9), WHEEL, PIP): 7})

    with transaction(database) as session:
        folded = [downloads.fold(session, before=DAY + timedelta(days=5)) for _ in range(5)]

    assert folded == [2, 3, 2, 0, 0]
    assert rows(database) == {
        (month, WHEEL, ""): 6, (month, OTHER, ""): 5, (DAY + timedelta(days=9), WHEEL, "pip"): 7,
    }  # fmt: skip


def test_a_fold_is_no_loss(database: Engine) -> None:
    add(database, {Fetched(DAY - timedelta(days=number), WHEEL, UNKNOWN): number + 1 for number in range(40)})

    def total() -> int:
        with transaction(database) as session:
            return session.scalars(select(func.sum(Download.count))).one()

    before = total()
    with transaction(database) as session:
        while downloads.fold(session, before=DAY - timedelta(days=3)):
            pass

    assert total() == before == sum(range(1, 41))


def test_a_project_has_days_and_totals(database: Engine) -> None:
    counts = {Fetched(DAY, WHEEL, PIP): 4, Fetched(DAY, NEWER, UV): 1, Fetched(DAY - timedelta(days=2), WHEEL, PIP): 2}
    add(database, {**counts, Fetched(DAY, OTHER, PIP): 9, Fetched(DAY - timedelta(days=99), WHEEL, PIP): 50})
    since = DAY - timedelta(days=3)

    with transaction(database) as session:
        days = downloads.days(session, "demo", since=since, until=DAY)
        found = downloads.totals(session, "demo", since=since)
        most = downloads.most(session, since=since, limit=5)

    assert list(days.values()) == [0, 2, 0, 5]
    assert (found.count, dict(found.files), dict(found.clients)) == (7, {WHEEL: 6, NEWER: 1}, {"pip": 6, "uv": 1})
    assert dict(found.distributions) == {"debian 12": 6, "ubuntu 24.04": 1}
    assert (dict(found.pythons), dict(found.architectures)) == ({"3.11": 6, "3.13": 1}, {"x86_64": 6, "aarch64": 1})
    assert list(most.items()) == [("some-thing", 9), ("demo", 7)]


def test_a_project_is_asked_for_through_an_index(database: Engine) -> None:
    asked: list[tuple[str, object]] = []
    event.listen(database, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))
    with transaction(database) as session:
        downloads.days(session, "demo", since=DAY, until=DAY)
        downloads.totals(session, "demo", since=DAY)

    found = [sql for sql, _ in asked if "FROM downloads" in sql]
    assert len(found) == 6
    if database.dialect.name == "sqlite":
        with database.connect() as connection:
            for sql, values in asked.copy():
                if "FROM downloads" in sql:
                    plan = str(list(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)))  # type: ignore[arg-type]
                    assert "ix_downloads_project_day" in plan


def test_the_project_is_read_out_of_the_file_name() -> None:
    assert [downloads.project_of(name) for name in (OTHER, "x.tar.gz", "")] == ["some-thing", "", ""]
