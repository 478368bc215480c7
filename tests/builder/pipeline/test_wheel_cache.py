"""The node's cache of build requirements: by digest, bounded, and never believed."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.wheel_cache import Resolved, WheelCache, key_of
from schema.errors import LimitExceededError
from schema.names import Sha256
from schema.states import FailureClass

KEY = key_of(["setuptools"], "http://someone:hunter2@index.example/")
WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def cache(tmp_path: Path) -> WheelCache:
    return WheelCache(tmp_path / "wheels", limit_bytes=1000)


def _stored(cache: WheelCache, digest: Sha256) -> Path:
    return cache.folder / digest[:2] / digest


def test_what_was_put_in_comes_out(cache: WheelCache, tmp_path: Path) -> None:
    digest = cache.add(io.BytesIO(b"a wheel"))

    assert cache.give(digest, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"a wheel"


@pytest.mark.parametrize("spoiled", [b"", b"a whee", b"a wheal", b"a wheel and more"])
def test_a_file_with_other_bytes_is_not_given_but_removed(cache: WheelCache, tmp_path: Path, spoiled: bytes) -> None:
    digest = cache.add(io.BytesIO(b"a wheel"))
    _stored(cache, digest).write_bytes(spoiled)

    assert not cache.give(digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not _stored(cache, digest).exists()


def test_nobody_but_the_node_may_enter_it(cache: WheelCache) -> None:
    cache.add(io.BytesIO(b"a wheel"))

    assert cache.folder.stat().st_mode & 0o777 == 0o700


def test_a_resolution_holds_for_its_time(cache: WheelCache) -> None:
    resolved = Resolved(wheels=((WHEEL, Sha256("0" * 64)),), times_checked=True)
    cache.remember(KEY, resolved)

    recalled = cache.recall(KEY, within_s=60)
    assert recalled is not None
    assert (recalled.wheels, recalled.times_checked) == (resolved.wheels, True)

    an_hour_ago = time.time() - 3600
    os.utime(cache.folder / "resolved" / f"{KEY}.json", (an_hour_ago, an_hour_ago))
    assert cache.recall(KEY, within_s=60) is None


def test_a_resolution_from_the_future_does_not_count(cache: WheelCache) -> None:
    cache.remember(KEY, Resolved(wheels=(), times_checked=True))
    tomorrow = time.time() + 86400
    os.utime(cache.folder / "resolved" / f"{KEY}.json", (tomorrow, tomorrow))

    assert cache.recall(KEY, within_s=60) is None


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[1, 2]",
        '{"wheels": 3, "times_checked": true}',
        '{"wheels": [["demo.txt", "' + "0" * 64 + '"]], "times_checked": true}',
        '{"wheels": [["../demo-1.0-py3-none-any.whl", "' + "0" * 64 + '"]], "times_checked": true}',
        json.dumps({"wheels": [[WHEEL, "../../../etc/passwd"]], "times_checked": True}),
    ],
)
def test_a_note_that_is_not_as_it_was_left_is_no_note(cache: WheelCache, note: str) -> None:
    cache.remember(KEY, Resolved(wheels=(), times_checked=True))
    (cache.folder / "resolved" / f"{KEY}.json").write_text(note)

    assert cache.recall(KEY, within_s=60) is None


def test_what_was_not_used_for_longest_goes_first(cache: WheelCache, tmp_path: Path) -> None:
    digests = [cache.add(io.BytesIO(bytes([number]) * 400)) for number in range(3)]
    for age, digest in zip((300, 200, 100), digests, strict=True):
        os.utime(_stored(cache, digest), (time.time() - age,) * 2)
    cache.give(digests[0], tmp_path / "used")

    cache.trim(notes_s=60)

    assert [_stored(cache, digest).exists() for digest in digests] == [True, False, True]


def test_old_notes_and_what_killed_nodes_left_go_too(cache: WheelCache) -> None:
    cache.remember(KEY, Resolved(wheels=(), times_checked=True))
    left = cache.folder / ".incoming-abc"
    left.touch()
    for path in (left, cache.folder / "resolved" / f"{KEY}.json"):
        os.utime(path, (time.time() - 86400,) * 2)

    cache.trim(notes_s=3600)

    assert [path for path in cache.folder.rglob("*") if path.is_file()] == []


def _waiter(cache: WheelCache, action: Callable[[], None], cancelled: threading.Event) -> threading.Thread:
    def run() -> None:
        with cache.turn(KEY, deadline=time.monotonic() + 60, cancelled=cancelled):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_who_wants_the_same_at_the_same_time_waits(cache: WheelCache) -> None:
    order: list[str] = []
    with cache.turn(KEY, deadline=time.monotonic() + 60, cancelled=threading.Event()):
        second = _waiter(cache, lambda: order.append("second"), threading.Event())
        order.append("first")
    second.join()

    assert order == ["first", "second"]


def test_who_waits_can_be_cancelled(cache: WheelCache) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with (
        cache.turn(KEY, deadline=time.monotonic() + 60, cancelled=threading.Event()),
        pytest.raises(LimitExceededError) as caught,
        cache.turn(KEY, deadline=time.monotonic() + 60, cancelled=cancelled),
    ):
        pass

    assert caught.value.failure_class is FailureClass.CANCELLED


def test_who_waits_too_long_runs_out_of_time(cache: WheelCache) -> None:
    with (
        cache.turn(KEY, deadline=time.monotonic() + 60, cancelled=threading.Event()),
        pytest.raises(LimitExceededError) as caught,
        cache.turn(KEY, deadline=time.monotonic() - 1, cancelled=threading.Event()),
    ):
        pass

    assert caught.value.failure_class is FailureClass.TIMEOUT


def test_a_key_tells_nothing_of_its_parts() -> None:
    assert key_of(["setuptools"], "http://index.example/") != KEY
    assert "hunter2" not in KEY
