"""A build that takes more than it may is ended, its reason named, nothing of it left, and the next one unharmed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from builder.limits import cgroup
from schema.errors import LimitExceededError
from schema.states import FailureClass
from tests.builder.sandbox.conftest import BUILD_UID, Box, processes_of

FORKS = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.1)
"""
FOUR_EATERS = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        eaten = bytearray(80 * 2**20)
        for at in range(0, len(eaten), 4096):
            eaten[at] = 1
        time.sleep(30)
time.sleep(30)
"""
ONE_EATER = "eaten = bytearray(2**30)"
MEMORY_FILES = """
import os
for number in range(100):
    os.write(os.memfd_create(str(number)), b'x' * 2**24)
"""
BIG_FILE = """
with open('big', 'wb') as file:
    while True:
        file.write(b'x' * 2**20)
"""
BIG_FILE_IN_TMP = BIG_FILE.replace("'big'", "'/tmp/big'")
VANISHING_FILES = """
import os, time
files = [os.open(f'big-{number}', os.O_CREAT | os.O_WRONLY) for number in range(3)]
for number in range(3):
    os.unlink(f'big-{number}')
while True:
    for file in files:
        try:
            os.write(file, b'x' * 2**20)
        except OSError:
            time.sleep(0.1)
"""
MANY_FILES = """
number = 0
while True:
    number += 1
    open(f'file-{number}', 'w').close()
"""
FLOOD = """
import sys
while True:
    sys.stdout.write('spam ' * 10000)
"""
ONE_LONG_LINE = """
import os
while True:
    os.write(2, b'x' * 65536)
"""
SILENT = "import time; time.sleep(60)"
BUSY = "while True: pass"
TALKATIVE = """
import time
while True:
    print('still here', flush=True)
    time.sleep(0.1)
"""

BOMBS = {
    "a fork bomb": (FORKS, FailureClass.PROCESSES, {}),
    "four processes that share the memory out among them": (FOUR_EATERS, FailureClass.MEMORY, {}),
    "one that takes it all": (ONE_EATER, FailureClass.MEMORY, {}),
    "files in memory": (MEMORY_FILES, FailureClass.MEMORY, {}),
    "one big file": (BIG_FILE, FailureClass.DISK, {}),
    "one big file in /tmp": (BIG_FILE_IN_TMP, FailureClass.DISK, {}),
    "big files without a name": (VANISHING_FILES, FailureClass.DISK, {}),
    "files without end": (MANY_FILES, FailureClass.DISK, {}),
    "a log without end": (FLOOD, FailureClass.LOG, {}),
    "a line without end": (ONE_LONG_LINE, FailureClass.LOG, {}),
    "silence": (SILENT, FailureClass.SILENCE, {"silence_s": 1.0}),
    "work without end": (BUSY, FailureClass.TIMEOUT, {"within_s": 1.0}),
    "talk without end": (TALKATIVE, FailureClass.TIMEOUT, {"within_s": 1.0}),
}


@pytest.mark.parametrize(("code", "expected", "limits"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_ended_and_named_and_leaves_room_for_the_next_build(
    box: Box, code: str, expected: FailureClass, limits: dict[str, float]
) -> None:
    if "memfd" in code and cgroup.hierarchies().memory is None:
        pytest.skip("only a control group sees files in memory")

    with pytest.raises(LimitExceededError) as raised:
        box.python(code, **limits)

    assert raised.value.failure_class is expected, box.said()[-500:]
    assert _left() == []


def test_after_a_bomb_the_next_build_on_the_same_node_passes(new_box: Callable[..., Box]) -> None:
    bombed, next_one = new_box("bombed"), new_box("next")
    with pytest.raises(LimitExceededError):
        bombed.python(FORKS)

    finished = next_one.python("print('fine')")

    assert finished.exit_code == 0
    assert "fine" in next_one.said()


def test_what_a_build_uses_within_its_limits_is_told(box: Box) -> None:
    finished = box.python(
        "eaten = bytearray(50 * 2**20); open('some', 'wb').write(b'x' * 10 * 2**20); sum(range(10**7))"
    )

    assert finished.exit_code == 0
    assert 50 * 2**20 < finished.peak_memory_bytes < 200 * 2**20
    assert 10 * 2**20 <= finished.disk_bytes < 20 * 2**20
    assert 0.05 < finished.cpu_s <= finished.wall_s + 0.5


def test_what_a_build_uses_is_told_as_time_goes(box: Box) -> None:
    box.python(
        "import time; eaten = bytearray(b'x') * (50 * 2**20); time.sleep(1)\nend = time.monotonic() + 1\n"
        "while time.monotonic() < end: pass"
    )
    box.python("pass")

    points = box.track.points
    assert len(points) >= 4
    assert 50 * 2**20 < max(point.memory_bytes for point in points) < 200 * 2**20
    assert [point.cpu_s for point in points] == sorted(point.cpu_s for point in points)
    assert points[-1].cpu_s > points[0].cpu_s


def test_what_a_build_used_before_it_was_ended_is_told(box: Box) -> None:
    with pytest.raises(LimitExceededError):
        box.python("import time\neaten = []\nwhile True: eaten.append(bytearray(b'x') * 2**22); time.sleep(0.01)")

    assert max(point.memory_bytes for point in box.track.points) > 20 * 2**20


def test_writing_more_than_fits_into_memory_is_no_memory_bomb(box: Box) -> None:
    finished = box.python("for _ in range(12): open('file', 'wb').write(b'x' * 40 * 2**20)", memory_bytes=64 * 2**20)

    assert finished.exit_code == 0, box.said()


def test_a_daemon_left_behind_ends_with_the_build(box: Box) -> None:
    finished = box.run("sh", "-c", "setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 & echo started")

    assert finished.exit_code == 0
    assert finished.wall_s < 5
    assert _left() == []


def test_a_daemon_that_keeps_the_output_open_does_not_keep_the_build(box: Box) -> None:
    finished = box.run("sh", "-c", "setsid sleep 1000 & echo started")

    assert finished.exit_code == 0
    assert finished.wall_s < 5
    assert _left() == []


def test_a_build_that_closes_its_output_is_waited_for(box: Box) -> None:
    finished = box.run("sh", "-c", "exec >&- 2>&-; sleep 1; exit 4")

    assert finished.exit_code == 4
    assert 1 <= finished.wall_s < 5


def test_signals_to_everybody_reach_the_build_only(box: Box) -> None:
    finished = box.run("sh", "-c", "sleep 100 & kill -KILL -1; kill -KILL 1; kill -STOP 1; wait; echo alone")

    assert finished.exit_code == 0
    assert "alone" in box.said()


def test_a_signal_that_ends_the_command_is_its_exit_code(box: Box) -> None:
    assert box.run("sh", "-c", "kill -SEGV $$").exit_code == 128 + 11


def test_a_cancelled_build_ends_within_a_second(box: Box) -> None:
    threading.Timer(0.5, box.cancelled.set).start()
    started = time.monotonic()

    with pytest.raises(LimitExceededError) as raised:
        box.python(SILENT)

    assert raised.value.failure_class is FailureClass.CANCELLED
    assert time.monotonic() - started < 2.5
    assert _left() == []


def test_a_build_that_stops_itself_is_ended_all_the_same(box: Box) -> None:
    with pytest.raises(LimitExceededError) as raised:
        box.run("sh", "-c", "kill -STOP $$", silence_s=1.0)

    assert raised.value.failure_class is FailureClass.SILENCE
    assert _left() == []


def test_a_tree_too_deep_for_recursion_is_removed_with_the_job(box: Box) -> None:
    deep = "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nopen('x', 'w')"

    assert box.python(deep).exit_code == 0


def test_folders_that_forbid_everything_are_removed_with_the_job(box: Box) -> None:
    assert box.run("sh", "-c", "mkdir -p a/b/c; touch a/b/c/d; chmod 0 a/b/c a/b a").exit_code == 0


def test_two_builds_at_once_do_not_see_each_other(new_box: Callable[..., Box]) -> None:
    boxes = [new_box("one"), new_box("two", uid=BUILD_UID + 1)]
    look = (
        "import os, time; open('/tmp/mine', 'x').close(); time.sleep(1);"
        "print([pid for pid in os.listdir('/proc') if pid.isdigit()], os.listdir('/tmp'))"
    )
    threads = [threading.Thread(target=one.python, args=(look,)) for one in boxes]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for one in boxes:
        assert one.said().split() == ["['1',", "'2']", "['mine']"]


def _left() -> list[str]:
    """Processes of the build user, and control groups of ours, that are still there."""
    where = cgroup.hierarchies()
    bases = {path for path in (where.memory, where.pids, where.cpu) if path is not None}
    groups = [str(group) for base in bases for group in base.glob(f"{os.getpid()}-*")]
    return groups + [str(pid) for pid in processes_of(BUILD_UID)]
