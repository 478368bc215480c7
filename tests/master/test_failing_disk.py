"""Each call to the disk on the way from a result to its page, failing once: what is tried again then is right."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from master import builds
from master.site import Site
from master.site.listing import Listing
from master.site.marked import Marked
from master.store import Store
from schema.db.session import engine, transaction
from schema.errors import StoreError
from schema.names import sha256_of
from tests.chaos.disk import SmallDisk
from tests.master.test_collect import N1, PLATFORM, Shed
from tests.schema.wheels.forge import canonical, members

pytestmark = pytest.mark.slow

CALLS = {
    "open": [(io, "open"), (os, "open")],
    "mkdir": [(os, "mkdir")],
    "fsync": [(os, "fsync")],
    "rename": [(os, "replace"), (os, "rename")],
    "link": [(os, "link")],
    "unlink": [(os, "unlink")],
}
_MOST_CALLS = 60


class _Disk:
    """Fails the *nth* of the calls of one kind on files below *folders*; happened: whether it came to that."""

    def __init__(self, folders: list[Path], nth: int) -> None:
        self._folders, self._left, self.happened = [str(folder) for folder in folders], nth, False

    def wrap(self, real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            file = arguments[0]
            if isinstance(file, int) or any(str(item).startswith(tuple(self._folders)) for item in arguments[:2]):
                self._left -= 1
                if self._left == 0:
                    self.happened = True
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*arguments, **named)

        return call


class _Way:
    """From a node's outbox to the page."""

    def __init__(self, folder: Path, database: Engine, snapshot: Engine) -> None:
        self.shed = Shed(folder, database)
        store = self.shed.collector.store
        site = Site(folder / "site", store, "https://farm.example", [PLATFORM])
        self.listing = Listing(site=site, snapshot=snapshot)
        self.marked = Marked(site=site, listing=self.listing, snapshot=snapshot, database=database, unfenced=database)
        self.folders = [store.folder, site.folder, self.shed.collector.logs, self.shed.outbox]

    def turn(self) -> None:
        self.marked.turn()
        self.listing.turn()

    @property
    def store(self) -> Store:
        return self.shed.collector.store

    def temporaries(self) -> list[Path]:
        """What is left over, but for a folder whose very removal failed: ``master.keep.gc`` takes it."""
        found = [path for folder in self.folders for path in folder.rglob(".*")]
        return [path for path in found if path.name != ".ballast" and not path.name.startswith(".checking-")]

    def check(self, wheel: Path) -> None:
        """One wheel, with its own bytes, in store, files and page; and nothing else."""
        [row] = self.shed.wheels()
        site = self.marked.site.folder
        page = json.loads((site / "simple/demo/index.json").read_text())
        assert [(item["filename"], item["hashes"]["sha256"]) for item in page["files"]] == [(wheel.name, row.sha256)]
        assert row.sha256 == sha256_of(wheel) == sha256_of(site / "files" / wheel.name)
        assert {row.sha256, row.metadata_sha256, row.provenance_sha256} <= set(map(str, self.store.digests()))
        assert len(list((site / "files").iterdir())) == 3
        assert self.temporaries() == []


@pytest.fixture
def way(tmp_path: Path, database: Engine, database_url: str) -> Iterator[_Way]:
    snapshot = engine(database_url, read_only=True)
    yield _Way(tmp_path / "farm", database, snapshot)
    snapshot.dispose()


@contextmanager
def _failing(kind: str, folders: list[Path], nth: int) -> Iterator[_Disk]:
    disk = _Disk(folders, nth)
    with pytest.MonkeyPatch.context() as patch:
        for module, name in CALLS[kind]:
            patch.setattr(module, name, disk.wrap(getattr(module, name)))
        yield disk


@pytest.mark.parametrize("kind", CALLS)
def test_each_call_of_the_publish_failing_once_leads_to_one_wheel_with_the_right_bytes(
    way: _Way, tmp_path: Path, kind: str
) -> None:
    wheel = canonical(tmp_path / "built", members())
    lease = way.shed.leased()
    way.shed.leave(lease, wheel)

    failed = 0
    for nth in range(1, _MOST_CALLS):
        with _failing(kind, way.folders, nth) as disk, suppress(StoreError):
            way.shed.collector.collect(N1, lease)
        if not disk.happened:
            break
        failed += 1
    way.shed.collector.collect(N1, lease)
    way.turn()

    assert failed or kind in {"link", "unlink"}
    way.check(wheel)


@pytest.mark.parametrize("kind", CALLS)
def test_each_call_of_the_rendering_failing_once_leads_to_the_right_page(way: _Way, tmp_path: Path, kind: str) -> None:
    wheel = canonical(tmp_path / "built", members())
    lease = way.shed.leased()
    way.shed.leave(lease, wheel)
    way.shed.collector.collect(N1, lease)
    way.turn()

    failed = 0
    for nth in range(1, _MOST_CALLS):
        shutil.rmtree(way.marked.site.folder)
        with transaction(way.shed.database) as session:
            builds.touch_page(session, way.shed.project_id)
        with _failing(kind, way.folders, nth) as disk, suppress(StoreError, OSError):
            way.turn()
        if not disk.happened:
            break
        failed += 1
        way.turn()
        way.check(wheel)

    assert failed
    way.check(wheel)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("folder", ["store", "site"])
def test_a_disk_with_room_for_so_many_pages_only_leads_to_the_same_once_there_is_room(
    way: _Way, tmp_path: Path, folder: str
) -> None:
    wheel = canonical(tmp_path / "built", members())
    lease = way.shed.leased()
    way.shed.leave(lease, wheel)
    disk = SmallDisk(tmp_path / "farm" / folder, mebibytes=1)
    try:
        for pages in range(12):
            disk.fill()
            ballast = disk.folder / ".ballast"
            os.truncate(ballast, ballast.stat().st_size - pages * 4096)
            with suppress(StoreError):
                way.shed.collector.collect(N1, lease)
                way.turn()
            assert [path for path in way.temporaries() if path.is_file()] == []
        disk.free()
        way.shed.collector.collect(N1, lease)
        way.turn()

        way.check(wheel)
    finally:
        disk.close()
