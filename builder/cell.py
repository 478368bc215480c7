"""One started bubblewrap: held back until its limits stand, released, and ended with everything in it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from builder import process, seccomp
from builder.limits.watchdog import descendants
from schema.errors import NodeError, ToolMissingError

_START_S = 60.0
_END_S = 30.0
_CHUNK_BYTES = 65_536
# Builds make room for the node, the front-end and the master of the same machine, and go first where memory ends.
_NICENESS = 10
_OOM_SCORE = 500


@dataclass(slots=True, kw_only=True)
class Cell:
    """A sandbox whose command waits for ``release``.

    output: the file descriptor that the build's stdout and stderr come out of
    exited: a file descriptor that becomes readable once the command has ended (what it left behind may still run)
    first_pid: the first process of the sandbox's PID namespace; with it all others die
    cpu_s: user and system time of all processes; known after ``end``
    """

    output: int
    exited: int
    first_pid: int
    cpu_s: float = 0.0
    _outer: subprocess.Popen[bytes]
    _first: int
    _gate: int
    _status: int

    def release(self) -> None:
        """Let the command start."""
        os.write(self._gate, b"\n")

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
        self.cpu_s = _reaped(self._outer, self.exited)

    def exit_code(self) -> int:
        """How the command ended; raise NodeError if it never started. Call it after ``end``."""
        for line in _all(self._status).splitlines():
            with contextlib.suppress(ValueError):
                code = json.loads(line).get("exit-code")
                if isinstance(code, int):
                    return code
        raise NodeError("the sandbox broke down before the build's command had ended; the build's log may say why")


@contextlib.contextmanager
def opened(
    options: Sequence[str], argv: Sequence[str], *, rlimits: Mapping[str, int], uid: int | None
) -> Iterator[Cell]:
    """Start bubblewrap with *options* as *uid*; no process of it is left at the end.

    rlimits: as ``prlimit`` names them, such as ``nofile``
    Raise NodeError with bubblewrap's words if it cannot start.
    """
    for tool in ("bwrap", "prlimit"):
        if shutil.which(tool) is None:
            raise ToolMissingError(f"{tool} is not installed", advice=f"apt-get install {process.package_of(tool)}")
    with ExitStack() as ours:
        with ExitStack() as theirs:
            output, said = _pipe(ours, theirs)
            status, told = _pipe(ours, theirs)
            gate, waiting = _pipe(ours, theirs, writing=True)
            inside = {
                "--args": _file(theirs, b"".join(option.encode() + b"\0" for option in options)),
                "--json-status-fd": told,
                "--block-fd": waiting,
            }
            if filters := seccomp.program():
                inside["--seccomp"] = _file(theirs, filters)
            outer = _popen(inside, argv, said, rlimits, uid)
        exited = _kept(ours, os.pidfd_open(outer.pid))
        try:
            first_pid = _first_pid(status)
            first = _kept(ours, os.pidfd_open(first_pid))
        except (ValueError, KeyError, ProcessLookupError) as err:
            _abort(outer, exited)
            words = _all(output).decode(errors="replace").strip()
            raise NodeError(f"bubblewrap does not start: {words or 'it says nothing'}") from err
        _step_back(first_pid)
        cell = Cell(
            output=output, exited=exited, first_pid=first_pid, _outer=outer, _first=first, _gate=gate, _status=status
        )
        try:
            yield cell
        finally:
            cell.end()


def _popen(
    inside: Mapping[str, int], argv: Sequence[str], said: int, rlimits: Mapping[str, int], uid: int | None
) -> subprocess.Popen[bytes]:
    options = [text for option, number in inside.items() for text in (option, str(number))]
    return subprocess.Popen(
        ["prlimit", *_prlimit(rlimits), "--", "bwrap", *options, "--", *argv],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        pass_fds=tuple(inside.values()),
        umask=0o022,
        start_new_session=True,
        cwd="/",
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )


def _first_pid(status: int) -> int:
    """What bubblewrap reports when the sandbox stands; raise ValueError if it reports nothing."""
    report = b""
    # It comes in pieces.
    while b"\n" not in report:
        piece = os.read(status, _CHUNK_BYTES) if _readable(status, _START_S) else b""
        if not piece:
            raise ValueError(report)
        report += piece
    return int(json.loads(report.partition(b"\n")[0])["child-pid"])


def _abort(outer: subprocess.Popen[bytes], exited: int) -> None:
    """Kill a bubblewrap that does not get on; its child does not yet die with it."""
    for pid in reversed(descendants(outer.pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _reaped(outer, exited)


def _step_back(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")


def _reaped(outer: subprocess.Popen[bytes], exited: int) -> float:
    """Wait for bubblewrap itself; return the seconds of processor time that it and the build took."""
    if not _readable(exited, _END_S):
        outer.kill()
    _, status, usage = os.wait4(outer.pid, 0)
    outer.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _prlimit(rlimits: Mapping[str, int]) -> Iterator[str]:
    """Options of prlimit; a limit may only be lowered."""
    for name, wanted in rlimits.items():
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        yield f"--{name}={value}:{value}"


def _pipe(ours: ExitStack, theirs: ExitStack, *, writing: bool = False) -> tuple[int, int]:
    """Our end and their end of a new pipe."""
    reader, writer = os.pipe()
    our_end, their_end = (writer, reader) if writing else (reader, writer)
    return _kept(ours, our_end), _kept(theirs, their_end)


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
