"""What nobody needs goes; what somebody needs, or is about to, stays."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from master.keep.gc import Collector
from master.store import Store
from schema.clients import Client
from schema.db import downloads
from schema.db.downloads import Fetched
from schema.db.models import Alarm, Attempt, Demand, DirtyPage, Download, Mark, Wheel
from schema.db.session import now, transaction
from schema.names import Sha256
from schema.sections import KeepSection
from tests import published, rows

DAY_S = 86400.0


@pytest.fixture
def collector(database: Engine, store: Store, tmp_path: Path) -> Collector:
    store.folder.mkdir()
    return Collector(database=database, store=store, logs=tmp_path / "logs", keep=KeepSection())


def _age(path: Path, seconds: float = 2 * DAY_S) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def _orphan(store: Store, data: bytes = b"an orphan") -> Sha256:
    digest = store.put_bytes(data)
    _age(store.path(digest))
    return digest


def _published(database: Engine, store: Store, folder: Path, *, removed_s: float | None = None) -> Wheel:
    """A wheel whose files are old, removed *removed_s* seconds ago."""
    with transaction(database) as session:
        wheel = published.publish(session, store, published.wheel_file(folder, "demo", "1.0"))
        if removed_s is not None:
            wheel.removed_at = now(session) - timedelta(seconds=removed_s)
    for digest in store.digests():
        _age(store.path(digest))
    return wheel


def test_a_file_that_nothing_names_goes_after_its_time(collector: Collector, store: Store) -> None:
    old, young = _orphan(store), store.put_bytes(b"a publish may be about to name it")

    removed = list(collector.remove())

    assert [(item.kind, item.path.name, item.size_bytes) for item in removed] == [("file", old, len(b"an orphan"))]
    assert list(store.digests()) == [young]
    assert list((store.folder / ".removed").iterdir()) == []


def test_looking_changes_nothing(collector: Collector, store: Store) -> None:
    old = _orphan(store)

    assert [item.path for item in collector.find()] == [store.path(old)]
    assert old in store


def test_a_very_short_time_in_the_settings_still_leaves_a_publish_its_time(
    database: Engine, store: Store, tmp_path: Path
) -> None:
    digest = store.put_bytes(b"young")
    _age(store.path(digest), 300)

    keep = KeepSection(orphans_s=1.0)
    assert list(Collector(database=database, store=store, logs=tmp_path, keep=keep).remove()) == []


def test_the_three_files_of_a_wheel_stay(database: Engine, collector: Collector, store: Store, tmp_path: Path) -> None:
    _published(database, store, tmp_path)

    assert list(collector.remove()) == []
    assert len(list(store.digests())) == 3


def test_files_of_a_removed_wheel_go_after_their_time_and_its_tombstone_stays(
    database: Engine, collector: Collector, store: Store, tmp_path: Path
) -> None:
    wheel = _published(database, store, tmp_path, removed_s=31 * DAY_S)

    removed = list(collector.remove())

    assert len(removed) == 3
    with transaction(database) as session:
        assert session.get_one(Wheel, wheel.filename).sha256 == wheel.sha256


def test_files_of_a_wheel_that_was_removed_lately_stay(
    database: Engine, collector: Collector, store: Store, tmp_path: Path
) -> None:
    _published(database, store, tmp_path, removed_s=29 * DAY_S)

    assert list(collector.remove()) == []


def test_a_file_that_a_living_wheel_shares_with_a_removed_one_stays(
    database: Engine, collector: Collector, store: Store, tmp_path: Path
) -> None:
    removed = _published(database, store, tmp_path, removed_s=31 * DAY_S)
    with transaction(database) as session:
        build = rows.build(session, rows.project(session, "other"))
        digests = {"sha256": "a" * 64, "metadata_sha256": removed.metadata_sha256, "provenance_sha256": "b" * 64}
        rows.wheel(session, build, **digests)

    list(collector.remove())

    assert list(store.digests()) == [removed.metadata_sha256]


def test_a_file_that_was_named_between_the_two_looks_comes_back(
    database: Engine, collector: Collector, store: Store, tmp_path: Path
) -> None:
    wheel = _published(database, store, tmp_path)
    with transaction(database) as session:
        for page in session.scalars(select(DirtyPage)):
            session.delete(page)

    assert collector._remove_files([Sha256(wheel.sha256)]) == []

    assert Sha256(wheel.sha256) in store
    with transaction(database) as session:
        assert session.scalars(select(DirtyPage.project_id)).all() == [wheel.project_id]


def test_a_file_that_was_written_anew_between_the_two_looks_comes_back(collector: Collector, store: Store) -> None:
    digest = store.put_bytes(b"just written by a publish")

    assert collector._remove_files([digest]) == []

    assert digest in store


def test_what_a_killed_gc_left_in_its_grave_is_judged_again(
    database: Engine, collector: Collector, store: Store, tmp_path: Path
) -> None:
    wheel, orphan = _published(database, store, tmp_path), _orphan(store)
    (store.folder / ".removed").mkdir()
    for digest in (Sha256(wheel.sha256), orphan):
        store.path(digest).replace(store.folder / ".removed" / digest)

    removed = list(collector.remove())

    assert [item.path.name for item in removed] == [orphan]
    assert Sha256(wheel.sha256) in store


def test_left_overs_of_killed_processes_go(collector: Collector, store: Store) -> None:
    for name in (".incoming-old", ".incoming-young"):
        (store.folder / name).write_bytes(b"half")
    (store.folder / ".checking-old").mkdir()
    (store.folder / ".checking-old" / "demo-1.0-py3-none-any.whl").write_bytes(b"half")
    _age(store.folder / ".incoming-old")
    _age(store.folder / ".checking-old")

    removed = sorted(item.path.name for item in collector.remove())

    assert removed == [".checking-old", ".incoming-old"]
    assert (store.folder / ".incoming-young").exists()


def _attempt(database: Engine, collector: Collector, name: str, outcome: str, days: float) -> Path:
    with transaction(database) as session:
        then = now(session) - timedelta(days=days)
        build = rows.build(session, rows.project(session, name), fence=1)
        row = Attempt(build_id=build.id, fence=1, node="n1", outcome=outcome, started_at=then)
        row.finished_at = None if outcome == "running" else then
        session.add(row)
        log = collector.logs / str(build.id) / "1.log"
    log.parent.mkdir(parents=True)
    log.write_text("…")
    return log


def test_logs_go_after_their_time_which_is_longer_for_wheels(database: Engine, collector: Collector) -> None:
    logs = {
        name: _attempt(database, collector, name, outcome, days)
        for name, outcome, days in (
            ("very-old", "built", 400),
            ("failed-very-old", "failed", 399),
            ("old", "built", 100),
            ("failed-old", "lost", 91),
            ("failed-young", "failed", 89),
            ("young", "built", 1),
        )
    }

    removed = {item.path for item in collector.remove()}

    assert {name for name, log in logs.items() if log in removed} == {"very-old", "failed-very-old", "failed-old"}
    assert {name for name, log in logs.items() if not log.parent.exists()} == {
        "very-old",
        "failed-very-old",
        "failed-old",
    }


def test_the_walk_over_attempts_does_not_read_the_same_ones_twice(database: Engine, collector: Collector) -> None:
    _attempt(database, collector, "old", "failed", 100)
    list(collector.remove())
    again = _attempt(database, collector, "newer", "failed", 95)

    assert [item.path for item in collector.remove()] == [again]
    with transaction(database) as session:
        assert session.get_one(Mark, "gc-failed-logs").cursor == "2"


def test_old_demands_and_alarms_are_forgotten(database: Engine, collector: Collector) -> None:
    with transaction(database) as session:
        moment = now(session)
        for days in (1, 31):
            session.add(Demand(name=f"p{days}", asked_at=moment - timedelta(days=days)))
        for days in (1, 366):
            then = moment - timedelta(days=days)
            session.add(Alarm(name=f"a{days}", text="", raised_at=then, ended_at=then))
        session.add(Alarm(name="open", text="", raised_at=moment - timedelta(days=999)))

    list(collector.remove())

    with transaction(database) as session:
        assert session.scalars(select(Demand.name)).all() == ["p1"]
        assert set(session.scalars(select(Alarm.name))) == {"a1", "open"}


@pytest.mark.parametrize("by_turn", [False, True])
def test_old_downloads_are_folded_into_their_months(database: Engine, collector: Collector, *, by_turn: bool) -> None:
    with transaction(database) as session:
        today = now(session).date()
        counts = {
            Fetched(today - timedelta(days=days), "demo-1.0-py3-none-any.whl", Client("pip", str(days))): 1
            for days in (1, 200)
        }
        downloads.add(session, counts)

    if by_turn:
        assert collector.turn()
    else:
        list(collector.remove())

    with transaction(database) as session:
        found = {(row.day, row.client, row.version) for row in session.scalars(select(Download))}
    old = (today - timedelta(days=200)).replace(day=1)
    assert found == {(today - timedelta(days=1), "pip", "1"), (old, "", "")}


def test_the_master_does_a_part_at_each_turn_and_a_round_a_day(
    database: Engine, collector: Collector, store: Store
) -> None:
    digest = _orphan(store)
    turns = 0
    while digest in store:
        assert collector.turn()
        turns += 1
    assert turns == int(digest[:2], 16) + 1
    while collector.turn():
        turns += 1
    assert turns == 256
    with transaction(database) as session:
        mark = session.get_one(Mark, "gc")
        assert (mark.done, mark.total, mark.note) == (256, 256, "the last that went: 1 files, 0.0 MiB")
        assert mark.finished_at is not None
        mark.finished_at -= timedelta(days=2)
        assert mark.started_at is not None
        mark.started_at -= timedelta(days=2)

    assert collector.turn()
