"""The manners of every command: streams, exit codes, and text that came from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from schema import door
from schema.errors import FarmError, SettingsError, UnavailableError, UsageError

_ROOT = Path(__file__).parents[2]


def _exit_code(error: BaseException | None = None, *, given: int | None = None) -> object:
    @click.command()
    def command() -> int | None:
        if error is not None:
            raise error
        return given

    with pytest.raises(SystemExit) as end:
        door.run(command, name="farm", arguments=[])
    return end.value.code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FarmError("no"), 1),
        (UsageError("no"), 2),
        (SettingsError("no"), 2),
        (UnavailableError("no"), 3),
        (click.UsageError("no"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert _exit_code(error) == code


def test_a_command_may_give_its_own_exit_code() -> None:
    assert _exit_code() == 0
    assert _exit_code(given=1) == 1


def test_an_error_stands_on_stderr_and_obeys_no_escape_sequence(capsys: pytest.CaptureFixture[str]) -> None:
    _exit_code(FarmError("evil \x1b]0;title\x07 text"))

    out, err = capsys.readouterr()
    assert out == ""
    assert err == "farm: evil ␛]0;title␇ text\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_cleans_up_first(number: signal.Signals) -> None:
    script = (
        "import click, time\n"
        "from schema import door\n"
        "@click.command()\n"
        "def command():\n"
        "    try:\n"
        "        print('begun', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('cleaned up', flush=True)\n"
        "door.run(command, name='farm', arguments=[])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=_ROOT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"

    process.send_signal(number)

    out, err = process.communicate(timeout=20)
    assert (out, err.strip()) == ("cleaned up\n", "farm: interrupted")
    assert process.returncode == 130


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = "from schema import door\nfor number in range(100000):\n    door.answer('x' * 100)"
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, cwd=_ROOT)
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)

    _, complaint = process.communicate(timeout=20)

    assert (process.returncode, complaint) == (141, b"")


def test_a_table_is_aligned_and_never_breaks_a_row() -> None:
    text = door.columns(("NAME", "WHY"), [("a", "one\ntwo\x1b[31m"), ("longer", None)])

    assert text.splitlines() == ["NAME    WHY", "a       one two␛[31m", "longer  -"]


def test_each_command_tells_its_exit_codes() -> None:
    @click.group(cls=door.Group)
    def group() -> None: ...

    @group.group()
    def inner() -> None: ...

    @inner.command()
    def command() -> None: ...

    assert "130  interrupted" in command.get_help(click.Context(command))


_LOST = """
import os, signal, sys, time, weakref
import click
from schema import door

class Thing:
    pass

@click.command()
def command():
    if sys.argv[1] == "leaves":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as the master does once it has begun
    thing = Thing()
    watch = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    print("goes on", flush=True)
    time.sleep(20)

door.run(command, name="farm", arguments=[])
"""


@pytest.mark.parametrize(("how", "code"), [("is interrupted", 130), ("leaves", 0)])
def test_a_signal_that_comes_while_python_clears_something_away_is_not_lost(how: str, code: int) -> None:
    told = subprocess.run(
        [sys.executable, "-c", _LOST, how], check=False, capture_output=True, text=True, timeout=15, cwd=_ROOT
    )

    assert told.stdout == "goes on\n"
    assert told.returncode == code
    assert "Traceback" not in told.stderr


_CAUGHT = """
import click
from schema import door

@click.command()
def command():
    try:
        exec("import os, signal; os.kill(os.getpid(), signal.SIGINT)\\nwhile True: pass")
    except KeyboardInterrupt:
        print("caught")

door.run(command, name="farm", arguments=[])
"""


def test_an_interrupt_in_generated_code_that_a_command_caught_does_not_decide_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "caught.py").write_text(_CAUGHT)

    told = subprocess.run(
        [sys.executable, "-m", "caught"],
        check=False,
        capture_output=True,
        text=True,
        timeout=15,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )

    assert (told.returncode, told.stdout) == (0, "caught\n"), told.stderr
