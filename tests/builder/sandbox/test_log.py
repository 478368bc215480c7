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


def test_a_full_log_says_so_once_and_still_takes_the_farms_own_lines(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", limit_bytes=10)

    for _ in range(5):
        log.write(b"seven..")
    log.step("the end")

    assert log.full
    assert log.path.read_bytes() == b"seven..sev\n--- the log ends here: more than 10 bytes\n--- the end\n"


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
