"""The log of a job keeps what was said, up to its cap, whoever says it."""

from __future__ import annotations

import threading
from pathlib import Path

from builder.log import Log


def test_output_and_steps_are_kept_in_order(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", limit_bytes=1000)

    log.step("build")
    log.write(b"compiling \xff\n")

    assert log.path.read_bytes() == b"--- build\ncompiling \xff\n"
    assert log.bytes_written == log.path.stat().st_size
    assert log.tail() == "--- build\ncompiling \N{REPLACEMENT CHARACTER}\n"
    assert log.read(4, 5) == b"build"


def test_of_what_does_not_fit_the_end_is_kept_and_the_farms_own_lines_come_after_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", limit_bytes=20)

    for number in range(10):
        log.write(b"line %d.\n" % number)
    log.step("the end")

    assert not log.full
    assert log.path.read_bytes().startswith(
        b"line 0.\nline 1.\nline\n--- 55 bytes are left out here: the log may have 20\n"
    )
    assert log.path.read_bytes().endswith(b"\ne 9.\n--- the end\n")
    assert log.bytes_written == log.path.stat().st_size


def test_each_step_of_a_build_that_says_too_much_keeps_its_end_but_the_log_does_not_grow_for_ever(
    tmp_path: Path,
) -> None:
    log = Log(tmp_path / "log", limit_bytes=10_000)

    for number in range(200):
        log.write(b"x" * 300 + b"%03d\n" % number)
        log.settle()

    assert not log.full
    text = log.path.read_text()
    assert "x045\n" in text
    assert text.endswith("--- 304 bytes are left out here: the log may have 10000\n")
    assert log.bytes_written <= 15_000 + 64 * 1024


def test_who_says_sixteen_times_as_much_as_the_log_takes_floods_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", limit_bytes=1000)

    for _ in range(160):
        log.write(b"x" * 100)
    assert not log.full
    log.write(b"y")

    assert log.full
    assert log.most_bytes == 16_000
    assert log.bytes_written == 1000
    log.settle()
    assert log.tail().endswith("xxxy\n")


def test_a_log_begins_empty(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("of an earlier attempt")

    log = Log(tmp_path / "log", limit_bytes=10)

    assert log.tail() == ""


def test_lines_of_several_threads_are_not_mixed(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", limit_bytes=10**6)

    def talk() -> None:
        for _ in range(100):
            log.step("x" * 100)

    threads = [threading.Thread(target=talk) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert log.path.read_text().splitlines() == ["--- " + "x" * 100] * 400
