"""Servers that answer over SFTP what no honest one would: each is refused, in bounded time and memory."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from master import outboxes
from master.outboxes import Outbox, Reach
from schema.errors import TransferError, UnreachableError, WireError
from schema.jobs import Lease
from schema.names import NodeName
from tests.hostile_sftp import FILE, FSTAT, LINK, LSTAT, OPEN, PIPE, READ, Liar, attributes, data, handle, status

LEASE = Lease(build_id=1, fence=1)
CONTENT = os.urandom(300_000)
SILENCE_S = 1.0

Twist = Callable[[int, bytes], bytes | str | None]


def _honest(kind: int, body: bytes) -> bytes:
    if kind in {LSTAT, FSTAT}:
        return attributes(len(CONTENT))
    if kind == OPEN:
        return handle()
    if kind == READ:
        offset, length = struct.unpack(">QI", body[-12:])
        piece = CONTENT[offset : offset + length]
        return data(piece) if piece else status(1)
    return status(0)


@contextmanager
def _outbox(tmp_path: Path, twist: Twist) -> Iterator[Outbox]:
    """Of a server that is honest wherever *twist* says "honest"."""

    def answer(kind: int, body: bytes) -> bytes | None:
        twisted = twist(kind, body)
        return _honest(kind, body) if isinstance(twisted, str) else twisted

    with Liar(answer) as liar:
        reach = Reach(identity=tmp_path / "ssh", silence_s=SILENCE_S)
        with outboxes.opened(NodeName("n1"), str(liar.outbox), host_key=str(liar.host_key), reach=reach) as box:
            yield box


def _read(box: Outbox, *, limit_bytes: int = 2**20, offset: int = 0) -> bytes:
    return b"".join(box.chunks(LEASE, "a.whl", limit_bytes=limit_bytes, offset=offset))


@pytest.mark.parametrize("offset", [0, 1, 32768, 299_999, 300_000])
def test_an_honest_server_s_file_comes_whole_from_any_offset(tmp_path: Path, offset: int) -> None:
    with _outbox(tmp_path, lambda *_: "honest") as box:
        assert _read(box, offset=offset) == CONTENT[offset:]


def test_short_answers_in_the_middle_leave_no_hole(tmp_path: Path) -> None:
    def short(kind: int, body: bytes) -> bytes | str:
        if kind != READ:
            return "honest"
        offset, length = struct.unpack(">QI", body[-12:])
        piece = CONTENT[offset : offset + min(length, 10_007)]
        return data(piece) if piece else status(1)

    with _outbox(tmp_path, short) as box:
        assert _read(box) == CONTENT


@pytest.mark.parametrize(
    ("said", "size"),
    [(0, 300_000), (10, 300_000), (1_000_000, 300_000)],
    ids=["nothing", "too little", "too much"],
)
def test_a_size_that_is_a_lie_changes_nothing_of_what_is_read(tmp_path: Path, said: int, size: int) -> None:
    with _outbox(tmp_path, lambda kind, _: attributes(said) if kind in {LSTAT, FSTAT} else "honest") as box:
        assert len(_read(box)) == size


@pytest.mark.parametrize("mode", [LINK, PIPE, 0o040755, 0o060600, 0])
def test_what_is_no_plain_file_is_not_even_opened(tmp_path: Path, mode: int) -> None:
    opened = []

    def twisted(kind: int, _body: bytes) -> bytes | str:
        opened.extend([kind] if kind == OPEN else [])
        return attributes(1, mode) if kind == LSTAT else "honest"

    with _outbox(tmp_path, twisted) as box, pytest.raises(WireError, match="not a plain file"):
        _read(box)

    assert opened == []


def test_what_turned_into_something_else_when_it_was_opened_is_not_read(tmp_path: Path) -> None:
    with (
        _outbox(tmp_path, lambda kind, _: attributes(1, PIPE) if kind == FSTAT else "honest") as box,
        pytest.raises(WireError, match="not a plain file"),
    ):
        _read(box)


def _of_read(reply: bytes) -> Twist:
    return lambda kind, _: reply if kind == READ else "honest"


@pytest.mark.parametrize(
    ("twist", "error"),
    [
        (_of_read(data(b"x" * 40_000)), WireError),  # more than was asked for
        (_of_read(data(b"")), WireError),  # neither bytes nor an end
        (_of_read(struct.pack(">BI", 103, 1000) + b"x"), WireError),  # cut short
        (_of_read(handle()[:1]), WireError),
        (_of_read(attributes(1)), WireError),
        (_of_read(status(4)), TransferError),  # such as a broken disk
        (lambda kind, _: attributes(2**63) if kind == FSTAT else "honest", WireError),
        (lambda kind, _: struct.pack(">BI", 105, 5) if kind == LSTAT else "honest", WireError),
        (lambda kind, _: data(b"x") if kind == LSTAT else "honest", WireError),
        (lambda kind, _: status(2) if kind == LSTAT else "honest", WireError),
        (lambda kind, _: status(3) if kind == OPEN else "honest", WireError),
        (lambda kind, _: status(4) if kind == OPEN else "honest", UnreachableError),  # such as too many open files
    ],
)
def test_answers_that_make_no_sense_end_it(tmp_path: Path, twist: Twist, error: type[Exception]) -> None:
    with _outbox(tmp_path, twist) as box, pytest.raises(error):
        _read(box)


def test_a_file_without_end_is_read_up_to_the_limit_by_whoever_counts(tmp_path: Path) -> None:
    came = 0
    with _outbox(tmp_path, _of_read(data(b"x" * 32768))) as box:
        for chunk in box.chunks(LEASE, "a.whl", limit_bytes=2**20):
            came += len(chunk)
            if came > 2**21:
                break

    assert came > 2**21


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">IBI", 5, 2, 2),  # another version
        struct.pack(">I", 2**31) + b"x" * 100,  # a packet of gigabytes
        struct.pack(">I", 0),
        b"Welcome to my machine!\r\n",
    ],
)
def test_what_does_not_speak_sftp_is_refused(tmp_path: Path, raw: bytes) -> None:
    reach = Reach(identity=tmp_path / "ssh", silence_s=SILENCE_S)
    with (
        Liar(_honest, raw=raw) as liar,
        outboxes.opened(NodeName("n1"), str(liar.outbox), host_key=str(liar.host_key), reach=reach) as box,
        pytest.raises(WireError),
    ):
        box.has(LEASE)


def test_what_a_server_says_aside_is_not_collected_in_memory(tmp_path: Path) -> None:
    reach = Reach(identity=tmp_path / "ssh", silence_s=SILENCE_S)
    with (
        Liar(_honest, aside=b"x" * 1000) as liar,
        outboxes.opened(NodeName("n1"), str(liar.outbox), host_key=str(liar.host_key), reach=reach) as box,
        pytest.raises(WireError, match="a packet of"),
    ):
        _read(box)


@pytest.mark.parametrize("raw", [b"", b"\0", struct.pack(">IBI", 100, 2, 3)])
def test_a_packet_that_is_never_whole_is_given_up(tmp_path: Path, raw: bytes) -> None:
    reach = Reach(identity=tmp_path / "ssh", silence_s=SILENCE_S)
    began = time.monotonic()
    with (
        Liar(_honest, raw=raw) as liar,
        outboxes.opened(NodeName("n1"), str(liar.outbox), host_key=str(liar.host_key), reach=reach) as box,
        pytest.raises(UnreachableError),
    ):
        box.has(LEASE)

    assert time.monotonic() - began < 5 * SILENCE_S


@pytest.mark.parametrize("silent", [LSTAT, OPEN, READ])
def test_a_server_that_falls_silent_is_asked_once_more_and_then_given_up(tmp_path: Path, silent: int) -> None:
    asked = []

    def mute(kind: int, _body: bytes) -> bytes | str | None:
        asked.extend([kind] if kind == LSTAT else [])
        return None if kind == silent else "honest"

    began = time.monotonic()
    with _outbox(tmp_path, mute) as box, pytest.raises(UnreachableError, match="says nothing for 1 s"):
        _read(box)

    assert time.monotonic() - began < 5 * SILENCE_S
    assert len(asked) == 2


def test_an_outbox_that_is_not_there_costs_no_build(tmp_path: Path) -> None:
    with (
        _outbox(tmp_path, lambda kind, _: status(2) if kind == LSTAT else "honest") as box,
        pytest.raises(UnreachableError, match="there is no folder sftp://node@"),
    ):
        box.has(LEASE)


def test_an_attempt_is_there_where_its_folder_is(tmp_path: Path) -> None:
    def only_the_outbox(kind: int, body: bytes) -> bytes | str:
        if kind != LSTAT:
            return "honest"
        return attributes(0, 0o040755) if body[4:] in {b"/outbox", b"/outbox/1-1"} else status(2)

    with _outbox(tmp_path, only_the_outbox) as box:
        assert (box.has(LEASE), box.has(Lease(build_id=1, fence=2))) == (True, False)

    with _outbox(tmp_path, lambda kind, _: attributes(0, FILE) if kind == LSTAT else "honest") as box:
        assert not box.has(LEASE)
