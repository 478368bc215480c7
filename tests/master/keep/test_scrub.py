"""Bit rot is found, never served, and healed (R19)."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from master.keep.scrub import Scrubber, Shelf, scrub
from master.site import Site
from master.store import Store
from schema.db.models import Build, DirtyPage, Mark, Wheel
from schema.db.session import transaction
from schema.names import Sha256
from schema.platforms import Platform
from schema.states import BuildState
from tests import published, rows


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    return Site(tmp_path / "site", store, "http://127.0.0.1", [Platform.parse(rows.PLATFORM)])


@pytest.fixture
def shelf(database: Engine, store: Store, site: Site) -> Shelf:
    return Shelf(database=database, store=store, site=site.folder)


Publish = Callable[..., list[Wheel]]


@pytest.fixture
def publish(database: Engine, store: Store, site: Site, tmp_path: Path) -> Publish:
    """Publish wheels of these projects, and render their pages."""

    def add(*names: str) -> list[Wheel]:
        with transaction(database) as session:
            wheels = [
                published.publish(session, store, published.wheel_file(tmp_path, name, "1.0", requires=["x"]))
                for name in names
            ]
            session.flush()
            site.rebuild(session)
        return wheels

    return add


def _flip_a_bit(store: Store, digest: str, dice: random.Random) -> None:
    path = store.path(Sha256(digest))
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    with path.open("r+b") as file:  # the same inode, as the disk itself would do it: the site's link rots too
        file.write(data)


def test_a_hundred_flipped_bits_in_a_hundred_files_are_all_found(shelf: Shelf, store: Store, publish: Publish) -> None:
    dice = random.Random(19)
    publish(*(f"demo{number}" for number in range(40)))
    hurt = dice.sample(list(store.digests()), 100)
    for digest in hurt:
        _flip_a_bit(store, digest, dice)

    result = scrub(shelf)

    assert sorted(item.digest for item in result.damaged) == sorted(hurt)
    assert result.files == 120
    assert sorted(path.name for path in (store.folder / "damaged").iterdir()) == sorted(hurt)


@pytest.mark.parametrize("which", ["sha256", "metadata_sha256", "provenance_sha256"])
@pytest.mark.parametrize("what", ["is damaged", "is missing"])
def test_a_wheel_that_needs_a_bad_file_is_gone_at_once_and_built_again(  # noqa: PLR0917 - fixtures
    database: Engine, shelf: Shelf, store: Store, publish: Publish, which: str, what: str
) -> None:
    bad, good = publish("bad", "good")
    digest = getattr(bad, which)
    if what == "is damaged":
        _flip_a_bit(store, digest, random.Random(1))
    else:
        store.path(digest).unlink()

    result = scrub(shelf)

    assert [(item.what, item.wheels) for item in result.damaged] == [(what, (bad.filename,))]
    files = shelf.site / "files"
    assert sorted(path.name for path in files.iterdir()) == sorted(
        good.filename + suffix for suffix in ("", ".metadata", ".provenance")
    )
    with transaction(database) as session:
        row = session.get_one(Wheel, bad.filename)
        assert row.removed_at is not None
        assert row.build.state == BuildState.QUEUED
        assert row.build.reason == f"built again: a stored file of {bad.filename} was damaged"
        assert session.get_one(Wheel, good.filename).removed_at is None
        assert row.project_id in session.scalars(select(DirtyPage.project_id)).all()


def test_what_the_pages_show_afterwards_names_no_damaged_file(
    database: Engine, shelf: Shelf, store: Store, site: Site, publish: Publish
) -> None:
    (bad,) = publish("bad")
    _flip_a_bit(store, bad.sha256, random.Random(2))
    scrub(shelf)

    with transaction(database) as session:
        site.rebuild(session)

    assert list((site.folder / "files").iterdir()) == []
    assert not (site.folder / "simple" / "bad").exists()


def test_a_wheel_whose_source_is_gone_is_withdrawn_but_not_built(
    database: Engine, shelf: Shelf, store: Store, publish: Publish
) -> None:
    (bad,) = publish("bad")
    with transaction(database) as session:
        build = session.get_one(Build, bad.build_id)
        assert build.sdist is not None
        build.sdist.gone_at = datetime.now(UTC)
    store.path(Sha256(bad.sha256)).unlink()

    scrub(shelf)

    with transaction(database) as session:
        assert session.get_one(Build, bad.build_id).state == BuildState.WITHDRAWN


def test_a_damaged_file_that_nothing_needs_is_only_set_aside(shelf: Shelf, store: Store) -> None:
    digest = store.put_bytes(b"an orphan")
    _flip_a_bit(store, digest, random.Random(3))

    result = scrub(shelf)

    assert [(item.digest, item.wheels) for item in result.damaged] == [(digest, ())]
    assert digest not in store


def test_a_second_scrub_finds_nothing_more(shelf: Shelf, store: Store, publish: Publish) -> None:
    (bad,) = publish("bad")
    _flip_a_bit(store, bad.sha256, random.Random(4))
    scrub(shelf)

    assert scrub(shelf).damaged == ()


def _mark(database: Engine) -> Mark:
    with transaction(database) as session:
        return session.get_one(Mark, "scrub")


def _set_back(database: Engine, seconds: float) -> None:
    with transaction(database) as session:
        mark = session.get_one(Mark, "scrub")
        assert mark.started_at is not None
        mark.started_at -= timedelta(seconds=seconds)
        if mark.finished_at:
            mark.finished_at -= timedelta(seconds=seconds)


def test_the_loop_reads_no_faster_than_its_time_table(database: Engine, shelf: Shelf, publish: Publish) -> None:
    publish("one", "two", "three")
    scrubber = Scrubber(shelf, scrub_s=1e9, turn_bytes=1)

    for _ in range(20):
        scrubber.turn()

    assert _mark(database).finished_at is None
    assert _mark(database).total == 256


def test_a_turn_reads_a_bounded_number_of_bytes_and_a_restart_goes_on(
    database: Engine, shelf: Shelf, store: Store, publish: Publish
) -> None:
    publish("one", "two")
    digests = list(store.digests())
    Scrubber(shelf, scrub_s=1e9, turn_bytes=1).turn()  # the walk begins
    assert _mark(database).cursor == digests[0]
    _set_back(database, 2e9)

    Scrubber(shelf, scrub_s=1e9, turn_bytes=1).turn()

    assert _mark(database).cursor == digests[1]


def test_a_walk_ends_and_the_next_begins_only_when_its_time_has_come(
    database: Engine, shelf: Shelf, store: Store, publish: Publish
) -> None:
    (bad,) = publish("bad")
    scrubber = Scrubber(shelf, scrub_s=1e9)
    scrubber.turn()
    _set_back(database, 0.9e9)
    assert Scrubber(shelf, scrub_s=1e9).turn() == []
    mark = _mark(database)
    assert (mark.done, mark.cursor, mark.finished_at is not None) == (256, "", True)
    _flip_a_bit(store, bad.sha256, random.Random(5))
    waiting = Scrubber(shelf, scrub_s=1e9)
    assert waiting.turn() == []

    _set_back(database, 0.2e9)

    assert [item.wheels for item in Scrubber(shelf, scrub_s=1e9).turn()] == [(bad.filename,)]


def test_the_loop_s_thread_steps_back_behind_all_others(shelf: Shelf) -> None:
    niceness = []

    def run() -> None:
        Scrubber(shelf, scrub_s=1.0).turn()
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert niceness == [15]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < 15
