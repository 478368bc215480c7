"""Child processes of one farm: started, kept alive, and gone without exception when the farm ends.

Each child is its own session with its own log file. Linux itself asks it to end (``setpriv --pdeathsig``) when this
process dies in whatever way, SIGKILL included. Start and tend children from the main thread only: the kernel takes the
end of the thread that started a child for the end of its parent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from schema.errors import FarmError

log = logging.getLogger(__name__)

# A child that ran this long was healthy: its earlier ends no longer count.
_HEALTHY_S = 120.0
_MOST_ENDS = 5
_TAIL_BYTES = 4000
_TAIL_LINES = 15


class ChildDiedError(FarmError):
    """A child ended again and again; the text holds the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run as a child.

    log_file: where its stdout and stderr go
    grace_s: how long it may take to end when asked to
    serves_others: it ends after all the others
    """

    name: str
    argv: Sequence[str]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 15.0
    serves_others: bool = False


@dataclass(slots=True, kw_only=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started: float
    ends: int = 0
    restart_at: float | None = None


class Supervisor:
    """A context: no child is left when it is over.

    say: gets a sentence about each child that ended by itself
    held: open files that the children inherit, such as a lock that must outlive this process for as long as they do
    first_pause_s: before a child that ended is started again; it doubles each time
    """

    def __init__(
        self, *, say: Callable[[str], None] = log.warning, held: Sequence[int] = (), first_pause_s: float = 1.0
    ) -> None:
        self._say, self._held, self._first_pause_s = say, tuple(held), first_pause_s
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, program: Program) -> None:
        """Start *program*, and start it again whenever ``tend`` finds that it ended."""
        self._children.append(_Child(program=program, process=self._spawn(program), started=time.monotonic()))

    def run(self, program: Program, *, on_line: Callable[[str], None]) -> int:
        """Run *program* to its end, handing on each line that it says; return its exit code."""
        child = _Child(program=program, process=self._spawn(program, piped=True), started=time.monotonic())
        self._children.append(child)
        assert child.process.stdout is not None  # noqa: S101 - for mypy: we asked for a pipe
        with child.process.stdout as said:
            for line in said:
                on_line(line.decode(errors="replace").rstrip("\n"))
        code = child.process.wait()
        self._children.remove(child)
        return code

    def tend(self) -> None:
        """Start again what ended, after a pause that grows; call it about once a second.

        Raise ChildDiedError for a child that ends again and again.
        """
        for child in self._children:
            code = child.process.poll()
            if code is None:
                continue
            if child.restart_at is None:
                self._note_end(child, code)
            elif time.monotonic() >= child.restart_at:
                child.process = self._spawn(child.program)
                child.started, child.restart_at = time.monotonic(), None

    def stop(self) -> None:
        """End every child, those that serve the others last; a child that does not end when asked to is killed."""
        with _undisturbed():
            for last in (False, True):
                ending = [child for child in self._children if child.program.serves_others is last]
                for child in ending:
                    with contextlib.suppress(ProcessLookupError):
                        child.process.terminate()
                for child in ending:
                    _await_end(child)
            self._children.clear()

    def pids(self) -> dict[str, int]:
        """The process id of each child, by name."""
        return {child.program.name: child.process.pid for child in self._children}

    def _spawn(self, program: Program, *, piped: bool = False) -> subprocess.Popen[bytes]:
        program.log_file.parent.mkdir(parents=True, exist_ok=True)
        with program.log_file.open("ab") as log_file:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *program.argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log_file,
                stderr=log_file,
                env={**os.environ, **program.environment},
                start_new_session=True,
                pass_fds=self._held,
            )
        log.info("started %s, process %s", program.name, process.pid)
        return process

    def _note_end(self, child: _Child, code: int) -> None:
        child.ends = 1 if time.monotonic() - child.started > _HEALTHY_S else child.ends + 1
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        _kill_group(child.process.pid)
        if child.ends >= _MOST_ENDS:
            raise ChildDiedError(
                f"{child.program.name} ended {child.ends} times, the last time with {what}; the end of"
                f" {child.program.log_file}:\n{tail(child.program.log_file)}"
            )
        pause_s = self._first_pause_s * 2.0 ** (child.ends - 1)
        child.restart_at = time.monotonic() + pause_s
        self._say(
            f"{child.program.name} ended with {what}; starting it again in {pause_s:g} s ({child.program.log_file})"
        )


def tail(path: Path, *, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log file; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            return "\n".join(deque(file.read().decode(errors="replace").splitlines(), maxlen=lines))
    except FileNotFoundError:
        return ""


def _await_end(child: _Child) -> None:
    process = child.process
    try:
        process.wait(child.program.grace_s)
    except subprocess.TimeoutExpired:
        log.warning("%s does not end within %g s: killing it", child.program.name, child.program.grace_s)
    # The group may outlive its leader, so it is killed in any case.
    _kill_group(process.pid)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave half of the children behind."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
