"""Copying a wheel out of an outbox: what comes counts, not what was said of it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from master import transfer
from schema.errors import StoreError, TransferError, UnreachableError, WireError
from schema.jobs import Lease, WheelFile
from schema.names import Sha256

LEASE = Lease(build_id=7, fence=2)
CONTENT = bytes(range(256)) * 1000


@dataclass(kw_only=True)
class Told:
    """An outbox that gives these chunks of the wheel; it notes from where on it was asked."""

    chunks_from: Callable[[int], Iterator[bytes]]
    offsets: list[int]

    def has(self, _lease: Lease) -> bool:
        return True

    def chunks(self, _lease: Lease, _name: str, *, limit_bytes: int, offset: int = 0) -> Iterator[bytes]:
        assert limit_bytes > 0
        self.offsets.append(offset)
        return self.chunks_from(offset)


def _wheel(content: bytes = CONTENT) -> WheelFile:
    digest = Sha256(sha256(content).hexdigest())
    return WheelFile(filename="demo-1.0-py3-none-any.whl", sha256=digest, size_bytes=len(content))


def _copy(box: Told, folder: Path, *, limit_bytes: int = 2**20) -> bytes:
    with transfer.copied(box, LEASE, _wheel(), into=folder, limit_bytes=limit_bytes) as copy:
        assert copy.name == "demo-1.0-py3-none-any.whl"
        return copy.read_bytes()


def _whole(offset: int) -> Iterator[bytes]:
    yield CONTENT[offset:]


def test_a_node_that_sends_without_end_is_stopped_at_the_limit_and_nothing_of_it_stays(tmp_path: Path) -> None:
    def endless(_offset: int) -> Iterator[bytes]:
        while True:
            yield b"x" * 32768

    with pytest.raises(WireError, match="more bytes come than are taken"):
        _copy(Told(chunks_from=endless, offsets=[]), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_what_came_before_a_node_went_away_is_asked_for_no_more(tmp_path: Path) -> None:
    def breaks_off(offset: int) -> Iterator[bytes]:
        yield CONTENT[offset : offset + 100_000]
        raise UnreachableError("gone")

    for _ in range(2):
        with pytest.raises(UnreachableError):
            _copy(Told(chunks_from=breaks_off, offsets=[]), tmp_path)
    whole = Told(chunks_from=_whole, offsets=[])

    assert _copy(whole, tmp_path) == CONTENT
    assert whole.offsets == [200_000]
    assert list(tmp_path.iterdir()) == []


def test_the_limit_is_of_the_whole_also_where_it_comes_in_pieces(tmp_path: Path) -> None:
    def breaks_off(offset: int) -> Iterator[bytes]:
        yield CONTENT[offset : offset + 100_000]
        raise UnreachableError("gone")

    with pytest.raises(UnreachableError):
        _copy(Told(chunks_from=breaks_off, offsets=[]), tmp_path, limit_bytes=150_000)
    with pytest.raises(WireError):
        _copy(Told(chunks_from=breaks_off, offsets=[]), tmp_path, limit_bytes=150_000)


def test_a_damaged_end_costs_the_whole_since_nobody_knows_where_it_is_wrong(tmp_path: Path) -> None:
    def damaged(offset: int) -> Iterator[bytes]:
        yield CONTENT[offset:-1] + b"?"

    with pytest.raises(TransferError, match="not those that the node promised"):
        _copy(Told(chunks_from=damaged, offsets=[]), tmp_path)
    again = Told(chunks_from=_whole, offsets=[])

    assert _copy(again, tmp_path) == CONTENT
    assert again.offsets == [0]


def test_a_disk_that_fills_keeps_nothing_that_would_fill_it_further(tmp_path: Path) -> None:
    def full(_offset: int) -> Iterator[bytes]:
        yield CONTENT[:1000]
        raise StoreError("no space left on device")

    with pytest.raises(StoreError):
        _copy(Told(chunks_from=full, offsets=[]), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_two_masters_never_write_into_one_file(tmp_path: Path) -> None:
    partial = tmp_path / f".partial-{LEASE}-{_wheel().sha256}"
    with partial.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(UnreachableError, match="being fetched already"):
            _copy(Told(chunks_from=_whole, offsets=[]), tmp_path)

    assert _copy(Told(chunks_from=_whole, offsets=[]), tmp_path) == CONTENT
