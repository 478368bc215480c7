from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from master.store import Store, write_atomically
from schema.errors import StoreError
from schema.names import Sha256

HELLO = Sha256(hashlib.sha256(b"hello").hexdigest())


def test_a_file_is_found_by_its_digest_and_cannot_be_written_to(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"hello")

    assert store.put(source, expected=HELLO) == HELLO

    assert HELLO in store
    assert store.path(HELLO).read_bytes() == b"hello"
    assert store.path(HELLO).stat().st_mode & 0o777 == 0o444
    assert list(store.digests()) == [HELLO]


def test_bytes_that_are_not_the_promised_ones_leave_nothing_behind(store: Store) -> None:
    with pytest.raises(StoreError, match="not the promised"):
        store.put_chunks([b"other"], expected=HELLO)

    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


def test_a_source_that_breaks_off_leaves_nothing_behind(store: Store) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"hel"
        raise ConnectionResetError("gone")

    with pytest.raises(StoreError, match="cannot take"):
        store.put_chunks(breaks_off())

    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


def test_storing_the_same_bytes_twice_keeps_one_file(store: Store) -> None:
    store.put_bytes(b"hello")
    store.put_bytes(b"hello")

    assert list(store.digests()) == [HELLO]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_is_said_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        store = Store(small / "store")

        with pytest.raises(StoreError, match="is full"):
            store.put_chunks(b"x" * 65536 for _ in range(64))

        assert [path for path in small.rglob("*") if path.is_file()] == []
        assert store.put_bytes(b"hello") == HELLO
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_reader_never_sees_half_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page"
    write_atomically(page, b"a" * 100_000)
    writer = subprocess.Popen(
        [sys.executable, "-c", f"""
from pathlib import Path
from master.store import write_atomically
for _ in range(50):
    for letter in (b"a", b"b"):
        write_atomically(Path({str(page)!r}), letter * 100_000)
"""]
    )  # fmt: skip

    seen = set()
    while writer.poll() is None:
        data = page.read_bytes()
        assert data in (b"a" * 100_000, b"b" * 100_000)
        seen.add(data[:1])
    assert writer.returncode == 0
    assert seen == {b"a", b"b"}


def test_a_page_that_takes_another_s_place_differs_from_it_in_size_or_in_the_second_of_its_time(tmp_path: Path) -> None:
    page = tmp_path / "page"

    seen = set()
    for data in (b"a", b"b", b"c", b"dd", b"ee"):
        write_atomically(page, data)
        seen.add((page.stat().st_size, int(page.stat().st_mtime)))

    assert len(seen) == 5
