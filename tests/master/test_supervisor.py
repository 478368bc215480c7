"""Child processes: none is left, whatever ends their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from master.supervisor import ChildDiedError, Program, Supervisor, tail

_PYTHON = [sys.executable, "-c"]
_SLEEP = "import time; time.sleep(600)"
_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def _until(true: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _program(folder: Path, name: str, script: str, *, grace_s: float = 10.0, serves_others: bool = False) -> Program:
    return Program(
        name=name,
        argv=[*_PYTHON, script],
        log_file=folder / f"{name}.log",
        grace_s=grace_s,
        serves_others=serves_others,
    )


def test_no_child_is_left_when_the_context_ends(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(_program(tmp_path, "one", _SLEEP))
        supervisor.start(_program(tmp_path, "two", _SLEEP))
        pids = list(supervisor.pids().values())
        assert all(_lives(pid) for pid in pids)

    assert not any(_lives(pid) for pid in pids)


def test_a_child_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(_program(tmp_path, "deaf", _DEAF, grace_s=0.3))
        _until(lambda: "deaf" in tail(tmp_path / "deaf.log"))
        pid = supervisor.pids()["deaf"]
        began = time.monotonic()

    assert not _lives(pid)
    assert time.monotonic() - began < 5


def test_what_a_child_started_itself_ends_with_it(tmp_path: Path) -> None:
    script = (
        f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {_DEAF!r}]);"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    with Supervisor() as supervisor:
        supervisor.start(_program(tmp_path, "parent", script))
        _until(lambda: "deaf" in tail(tmp_path / "parent.log"))
        grandchild = int(tail(tmp_path / "parent.log").split()[0])

    _until(lambda: not _lives(grandchild))


def test_children_that_serve_others_end_last(tmp_path: Path) -> None:
    script = (
        "import signal, sys, time, pathlib\n"
        "def end(*_):\n"
        "    time.sleep(0.3)\n"
        f"    pathlib.Path({str(tmp_path)!r}, 'ends').open('a').write(sys.argv[0] + '%s ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with Supervisor() as supervisor:
        supervisor.start(_program(tmp_path, "queue", script % "queue", serves_others=True))
        supervisor.start(_program(tmp_path, "user", script % "user"))
        _until(lambda: all("ready" in tail(tmp_path / f"{name}.log") for name in ("queue", "user")))

    assert (tmp_path / "ends").read_text().split() == ["-cuser", "-cqueue"]


def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor(say=said.append) as supervisor:
        supervisor.start(_program(tmp_path, "one", _SLEEP))
        first = supervisor.pids()["one"]
        os.kill(first, signal.SIGKILL)

        def again() -> bool:
            supervisor.tend()
            return supervisor.pids()["one"] != first

        _until(again)
        assert _lives(supervisor.pids()["one"])

    assert "one ended with signal 9; starting it again" in said[0]


def test_a_child_that_ends_again_and_again_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Supervisor(say=lambda _: None, first_pause_s=0.01) as supervisor:
        supervisor.start(_program(tmp_path, "broken", "import sys; sys.exit('no such thing as luck')"))

        def tended() -> bool:
            supervisor.tend()
            return False

        with pytest.raises(ChildDiedError, match=r"(?s)broken ended 5 times.*exit code 1.*no such thing as luck"):
            _until(tended)


def test_a_program_can_be_run_to_its_end_line_by_line(tmp_path: Path) -> None:
    lines: list[str] = []
    script = "import sys; print('one'); print('two'); print('oh', file=sys.stderr); sys.exit(3)"
    with Supervisor() as supervisor:
        code = supervisor.run(_program(tmp_path, "short", script), on_line=lines.append)

    assert (code, lines) == (3, ["one", "two"])
    assert tail(tmp_path / "short.log") == "oh"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_child_outlives_a_supervisor_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import pathlib, signal, sys, time\n"
        "from master.supervisor import Program, Supervisor\n"
        # A shell that runs the tests in the background has them ignore SIGINT, and so all that they start.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "with Supervisor() as supervisor:\n"
        f"    program = Program(name='one', argv=[sys.executable, '-c', {_SLEEP!r}], log_file=folder / 'one.log')\n"
        "    supervisor.start(program)\n"
        "    print(supervisor.pids()['one'], flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = _start([*_PYTHON, script])
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    _until(lambda: Path(f"/proc/{child}/comm").read_text() != "setpriv\n")

    parent.send_signal(number)
    parent.wait(20)

    parent.stdout.close()
    _until(lambda: not _lives(child))


def _start(argv: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
