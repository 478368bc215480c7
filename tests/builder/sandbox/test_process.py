"""The node's own tools: their output line by line, an end in time, and nothing left of them."""

from __future__ import annotations

import collections
import os
import threading
import time
from pathlib import Path

import pytest

from builder import process
from builder.process import ProcessError
from schema.errors import ToolMissingError


def test_what_a_tool_says_is_returned_and_told_line_by_line() -> None:
    lines: list[str] = []

    said = process.run(["sh", "-c", "echo one; echo two >&2; printf three"], on_line=lines.append)

    assert said == "one\ntwo\nthree"
    assert lines == ["one", "two", "three"]


def test_a_tool_that_fails_is_named_with_its_last_words() -> None:
    with pytest.raises(ProcessError, match=r"sh exited with 3: (.|\n)*it broke") as raised:
        process.run(["sh", "-c", "seq 100; echo it broke; exit 3"])

    assert "50" not in raised.value.output


def test_a_tool_that_is_not_there_names_its_package() -> None:
    with pytest.raises(ToolMissingError, match="apt-get install no-such-tool"):
        process.run(["no-such-tool"])


def test_a_tool_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()

    with pytest.raises(ProcessError, match="took over"):
        process.run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; wait"], timeout_s=0.5)

    assert time.monotonic() - started < 5
    assert not _runs((tmp_path / "child").read_text().strip())


def test_a_tool_can_be_cancelled(cancelled: threading.Event) -> None:
    threading.Timer(0.3, cancelled.set).start()
    started = time.monotonic()

    with pytest.raises(ProcessError, match="cancelled"):
        process.run(["sleep", "60"], cancelled=cancelled)

    assert time.monotonic() - started < 5


def test_what_a_tool_prints_is_read_as_a_stream_to_its_end() -> None:
    with process.reading(["seq", "100000"]) as stream:
        assert [int(line) for line in stream] == list(range(1, 100_001))

    with (
        pytest.raises(ProcessError, match="sh exited with 3: it broke"),
        process.reading(["sh", "-c", "echo half; echo it broke >&2; exit 3"]) as stream,
    ):
        assert stream.read() == b"half\n"


def test_reading_what_a_tool_prints_without_end_can_be_cancelled(cancelled: threading.Event) -> None:
    threading.Timer(0.3, cancelled.set).start()
    started = time.monotonic()

    with (
        pytest.raises(ProcessError, match="yes was cancelled"),
        process.reading(["yes"], cancelled=cancelled) as stream,
    ):
        collections.deque(stream, maxlen=0)

    assert time.monotonic() - started < 5


def test_what_a_tool_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    process.run(["sh", "-c", f"sleep 60 >/dev/null 2>&1 & echo $! > {tmp_path}/child"])

    assert not _runs((tmp_path / "child").read_text().strip())


def test_a_tool_gets_our_environment_and_its_own() -> None:
    said = process.run(["sh", "-c", "echo $LC_ALL $MORE; umask"], environment={"MORE": "more"})

    assert said == "C.UTF-8 more\n0022"


def test_a_pipe_that_breaks_at_either_end_is_told() -> None:
    process.pipe(["echo", "fine"], ["grep", "-q", "fine"])

    with pytest.raises(ProcessError, match="false exited with 1"):
        process.pipe(["false"], ["cat"])
    with pytest.raises(ProcessError, match="grep exited with 1"):
        process.pipe(["echo", "fine"], ["grep", "-q", "other"])


def test_a_tree_is_removed_however_deep_or_forbidden(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        os.mkdir("tree", dir_fd=here)
        os.chdir(tmp_path / "tree")
        for _ in range(2000):
            Path("deep").mkdir()
            os.chdir("deep")
        os.fchdir(here)
    finally:
        os.close(here)
        os.chdir(Path(__file__).parents[3])
    (tmp_path / "tree").chmod(0)

    process.remove(tmp_path / "tree")
    process.remove(tmp_path / "never there")

    assert list(tmp_path.iterdir()) == []


def _runs(pid: str) -> bool:
    """Whether it still runs; a process takes a moment to die."""
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.02)
    return True
