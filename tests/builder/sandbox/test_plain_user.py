"""A node that is no root: no control groups, no file systems for jobs; watchdogs hold its builds to the same limits."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder import isolation, workspace
from builder.images import Image
from builder.log import Log
from builder.sandbox import Bind
from schema.errors import LimitExceededError
from schema.states import FailureClass
from tests.builder.sandbox.conftest import LIMITS, NOBODY, Box, as_nobody
from tests.builder.sandbox.test_bombs import (
    BIG_FILE,
    FLOOD,
    FORKS,
    FOUR_EATERS,
    MANY_FILES,
    ONE_EATER,
    VANISHING_FILES,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as a plain user already")


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder of nobody's."""
    with tempfile.TemporaryDirectory(prefix="wf-nobody-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


def run(image: Image, folder: Path, code: str, **limits: float) -> dict[str, Any]:
    """How a build by nobody ended."""

    def work() -> dict[str, Any]:
        with workspace.open_job(folder / "work", "job", uid=None, disk_bytes=LIMITS.disk_bytes) as job:
            binds = tuple(Bind(source=job.make(name), target=f"/{name}", writable=True) for name in ("build", "tmp"))
            log = Log(folder / "job.log", limit_bytes=LIMITS.log_bytes)
            box = Box(image=image, job=job, log=log, binds=binds)
            try:
                finished = box.python(code, **limits)
            except LimitExceededError as err:
                return {"class": err.failure_class.value, "said": box.said()[-500:]}
            return {
                "exit_code": finished.exit_code,
                "memory": finished.peak_memory_bytes,
                "disk": finished.disk_bytes,
                "cpu_s": finished.cpu_s,
                "said": box.said()[-500:],
            }

    answer: dict[str, Any] = as_nobody(work)
    assert list((folder / "work").iterdir()) == []
    return answer


def test_a_plain_user_builds_and_is_told_what_was_used(image: Image, own_folder: Path) -> None:
    code = """
import time
eaten = bytearray(50 * 2**20)
open('some', 'wb').write(b'x' * 10 * 2**20)
begin = time.process_time()
while time.process_time() < begin + 0.6: pass
time.sleep(0.5)
"""

    answer = run(image, own_folder, code)

    assert answer["exit_code"] == 0, answer
    assert 50 * 2**20 < answer["memory"] < 120 * 2**20
    assert 10 * 2**20 <= answer["disk"] < 12 * 2**20
    assert 0.3 < answer["cpu_s"] < 2


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (FOUR_EATERS, FailureClass.MEMORY),
        (ONE_EATER.replace("2**30", "300 * 2**20") + "\nimport time; time.sleep(20)", FailureClass.MEMORY),
        (MANY_FILES, FailureClass.DISK),
        (VANISHING_FILES, FailureClass.DISK),
        (FLOOD, FailureClass.LOG),
    ],
    ids=["four eaters", "one eater", "many files", "files without names", "flood"],
)
def test_watchdogs_end_the_bombs_of_a_plain_user(
    image: Image, own_folder: Path, code: str, expected: FailureClass
) -> None:
    answer = run(image, own_folder, code)

    assert answer.get("class") == expected, answer


def test_a_fork_bomb_of_a_plain_user_stays_within_its_limit(image: Image, own_folder: Path) -> None:
    answer = run(image, own_folder, FORKS, within_s=1.5)

    assert answer.get("class") in {FailureClass.PROCESSES, FailureClass.TIMEOUT}, answer


def test_one_file_of_a_plain_user_cannot_pass_the_limit(image: Image, own_folder: Path) -> None:
    answer = run(image, own_folder, BIG_FILE)

    assert answer.get("class") == FailureClass.DISK or "File too large" in answer["said"], answer


def test_a_plain_user_is_told_apart_in_the_isolation() -> None:
    facts = as_nobody(lambda: isolation.probe() | {"problems": "; ".join(isolation.problems())})

    assert facts["memory"] == "watchdog"
    assert facts["disk"] == "watchdog"
    assert facts["user"] == "same"
    assert facts["problems"] == ""
