"""One started bubblewrap: held back until its limits stand, and ended with everything in it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from builder import process, seccomp
from builder.limits.watchdog import descendants
from schema.errors import NodeError

_START_S = 60.0
_END_S = 30.0
_CHUNK_BYTES = 65_536
# Wait for a line from us, then become the command; where we die before the line, so does this.
_GATE = ("sh", "-c", 'read -r _ && exec "$@" </dev/null', "gate")
# Builds make room for the node, the front-end and the master of the same machine, and go first where memory ends.
_NICENESS = 10
_OOM_SCORE = 500


@dataclass(slots=True, kw_only=True)
class Cell:
    """A sandbox with a running command.

    output: the file descriptor that the build's stdout and stderr come out of
    exited: a file descriptor that becomes readable once the command has ended (what it left behind may still run)
    first_pid: the first process of the sandbox's PID namespace; with it all others die
    """

    output: int
    exited: int
    first_pid: int
    _outer: subprocess.Popen[bytes]
    _first: int
    _status: int
    _reported: bytes

    def read(self) -> bytes:
        """What the build says next: waits for it, and is empty once nobody is left who could say anything."""
        return os.read(self.output, _CHUNK_BYTES)

    def end(self) -> None:
        """Kill what is left and wait until it is gone; raise NodeError if it does not die."""
        if self._outer.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, signal.SIGKILL)
        # The kernel reports the first process of a PID namespace dead only after all others of it.
        if not _readable(self._first, _END_S):
            raise NodeError("the build's processes do not die", advice="restart the machine")
        _wait_for(self._outer, self.exited)

    def exit_code(self) -> int | None:
        """How the command ended; None if it was never started, or ended with the sandbox. Call it after ``end``."""
        for line in (self._reported + _all(self._status)).splitlines():
            with contextlib.suppress(ValueError):
                code = json.loads(line).get("exit-code")
                if isinstance(code, int):
                    return code
        return None


@contextlib.contextmanager
def opened(
    options: Sequence[str],
    argv: Sequence[str],
    *,
    rlimits: Mapping[str, int],
    uid: int | None,
    join: Callable[[int], None],
) -> Iterator[Cell]:
    """Start bubblewrap with *options* as *uid*; no process of it is left at the end.

    rlimits: as ``prlimit`` names them, such as ``nofile``
    join: puts a process into the control group that bubblewrap and all below it will be in
    Raise NodeError with bubblewrap's words if it cannot start.
    """
    for tool in ("bwrap", "prlimit", "setpriv"):
        process.need(tool)
    with ExitStack() as ours:
        with ExitStack() as theirs:
            output, said = _pipe(ours, theirs)
            status, told = _pipe(ours, theirs)
            outer = _popen(_inside(theirs, options, told), argv, said, rlimits, uid)
        exited = _kept(ours, os.pidfd_open(outer.pid))
        try:
            _release(outer, join)
            first_pid, reported = _first_pid(status)
            first = _kept(ours, _pidfd(first_pid, exited))
        except (OSError, ValueError, KeyError) as err:
            _abort(outer, exited)
            words = _all(output).decode(errors="replace").strip()
            raise NodeError(f"bubblewrap does not start: {words or 'it says nothing'}") from err
        cell = Cell(
            output=output,
            exited=exited,
            first_pid=first_pid,
            _outer=outer,
            _first=first,
            _status=status,
            _reported=reported,
        )
        try:
            yield cell
        finally:
            cell.end()


def _inside(theirs: ExitStack, options: Sequence[str], told: int) -> dict[str, int]:
    """The files that bubblewrap is given, by its options for them."""
    inside = {
        "--args": _file(theirs, b"".join(option.encode() + b"\0" for option in options)),
        "--json-status-fd": told,
    }
    if filters := seccomp.program():
        inside["--seccomp"] = _file(theirs, filters)
    return inside


def _popen(
    inside: Mapping[str, int], argv: Sequence[str], said: int, rlimits: Mapping[str, int], uid: int | None
) -> subprocess.Popen[bytes]:
    options = [text for option, number in inside.items() for text in (option, str(number))]
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *_GATE, "prlimit", *_prlimit(rlimits), "bwrap", *options, "--", *argv],
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        pass_fds=tuple(inside.values()),
        # Our own environment holds secrets, and the build can read that of bubblewrap's inner process.
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        umask=0o022,
        start_new_session=True,
        cwd="/",
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )


def _first_pid(status: int) -> tuple[int, bytes]:
    """What bubblewrap reports when the sandbox stands, and what it has reported since.

    Raise ValueError if it reports nothing.
    """
    report = b""
    # It comes in pieces.
    while b"\n" not in report:
        piece = os.read(status, _CHUNK_BYTES) if _readable(status, _START_S) else b""
        if not piece:
            raise ValueError(report)
        report += piece
    first, _, rest = report.partition(b"\n")
    return int(json.loads(first)["child-pid"]), rest


def _pidfd(first_pid: int, exited: int) -> int:
    """That of the sandbox's first process; where that has ended and is gone, that of bubblewrap, which ends then."""
    try:
        return os.pidfd_open(first_pid)
    except ProcessLookupError:
        return os.dup(exited)


def _abort(outer: subprocess.Popen[bytes], exited: int) -> None:
    """Kill a bubblewrap that does not get on; its child does not yet die with it."""
    for pid in reversed(descendants(outer.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _wait_for(outer, exited)


def _release(outer: subprocess.Popen[bytes], join: Callable[[int], None]) -> None:
    """Let bubblewrap start, once what it will hand down stands."""
    join(outer.pid)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, outer.pid, _NICENESS)
        Path(f"/proc/{outer.pid}/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")
    gate = outer.stdin
    assert gate is not None  # noqa: S101 - for mypy: we asked for a pipe
    gate.write(b"\n")
    gate.close()


def _wait_for(outer: subprocess.Popen[bytes], exited: int) -> None:
    if outer.stdin is not None:
        outer.stdin.close()
    if not _readable(exited, _END_S):
        outer.kill()
    outer.wait()


def _prlimit(rlimits: Mapping[str, int]) -> Iterator[str]:
    """Options of prlimit; a limit may only be lowered."""
    for name, wanted in rlimits.items():
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        yield f"--{name}={value}:{value}"


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """A new pipe: the end that we read, and the end that they write to."""
    reader, writer = os.pipe()
    return _kept(ours, reader), _kept(theirs, writer)


def _file(theirs: ExitStack, content: bytes) -> int:
    """A file without a name, to be read from its beginning."""
    number = _kept(theirs, os.memfd_create("wheelfarm"))
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(number, rest) :]
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _kept(stack: ExitStack, number: int) -> int:
    stack.callback(os.close, number)
    return number


def _readable(number: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _all(number: int) -> bytes:
    return b"".join(iter(lambda: os.read(number, _CHUNK_BYTES), b""))
