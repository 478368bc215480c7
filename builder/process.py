"""The one place that starts the node's own tools (apt, mmdebstrap, mount …); builds run in ``builder.sandbox``."""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from schema.errors import NodeError, ToolMissingError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_TICK_S = 0.2
_TAIL_LINES = 12
_CHUNK_BYTES = 65_536
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


class ProcessError(NodeError):
    """A tool of ours ended badly.

    output: the last lines that it said
    """

    def __init__(self, argv: Sequence[str], reason: str, output: str) -> None:
        super().__init__(f"{Path(argv[0]).name} {reason}: {output.strip() or 'no output'}")
        self.output = output


def run(
    argv: Sequence[str],
    *,
    timeout_s: float = 600.0,
    on_line: Callable[[str], None] | None = None,
    cancelled: threading.Event | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run one of our own tools and return what it said, stdout and stderr as one.

    on_line: called for each line as it comes
    environment: added to ours
    Raise ProcessError if it exits non-zero, takes longer than *timeout_s* or is cancelled, ToolMissingError if it is
    not installed. Its whole process group is killed when this returns; where we are killed, it is killed too.
    """
    need(argv[0])
    process = subprocess.Popen(
        [*_DIES_WITH_US, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # What we make is read by the build user.
        umask=0o022,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
    )
    lines: list[str] = []
    reason = ""
    with process:
        try:
            for line in _lines(process, time.monotonic() + timeout_s, cancelled):
                if line is None:
                    in_vain = cancelled is not None and cancelled.is_set()
                    reason = "was cancelled" if in_vain else f"took over {timeout_s:.0f} s"
                    break
                lines.append(line)
                if on_line is not None:
                    on_line(line)
            else:
                # Its output has ended, so it exits. It stays a zombie for now: its group's number is still its own.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not reason and process.returncode != 0:
        reason = f"exited with {process.returncode}"
    if reason:
        raise ProcessError(argv, reason, "\n".join(lines[-_TAIL_LINES:]))
    return "\n".join(lines)


@contextlib.contextmanager
def reading(
    argv: Sequence[str], *, given: BinaryIO | None = None, cancelled: threading.Event | None = None
) -> Iterator[BinaryIO]:
    """What one of our own tools prints, as a stream, for more than memory should hold.

    given: a file that it reads as its standard input, from where it stands
    Raise ProcessError at the end if it exits non-zero, and while it is read once *cancelled* is set; it is killed if it
    is not read to its end.
    """
    need(argv[0])
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            [*_DIES_WITH_US, *argv],
            stdin=subprocess.DEVNULL if given is None else given,
            stdout=subprocess.PIPE,
            stderr=said,
            bufsize=0,
        ) as source:
            assert source.stdout is not None  # noqa: S101 - for mypy: we asked for a pipe
            try:
                yield io.BufferedReader(_Cancellable(argv, cast("io.FileIO", source.stdout), cancelled), _CHUNK_BYTES)
            except BaseException:
                source.kill()
                raise
        if source.returncode:
            said.seek(0)
            raise ProcessError(argv, f"exited with {source.returncode}", said.read().decode(errors="replace")[-2000:])


class _Cancellable(io.RawIOBase):
    """Looks at each chunk whether anybody still wants it."""

    def __init__(self, argv: Sequence[str], pipe: io.FileIO, cancelled: threading.Event | None) -> None:
        self._argv, self._pipe, self._cancelled = argv, pipe, cancelled

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise ProcessError(self._argv, "was cancelled", "")
        return self._pipe.readinto(buffer)


def remove(path: Path) -> None:
    """Remove a file or a whole tree of any depth, never across a mount; fine if there is none."""
    try:
        run(["rm", "-rf", "--one-file-system", "--", str(path)])
    except ProcessError:
        run(["chmod", "-R", "u+rwX", "--", str(path)])
        run(["rm", "-rf", "--one-file-system", "--", str(path)])


def pipe(first: Sequence[str], second: Sequence[str]) -> None:
    """Run ``first | second``; raise ProcessError if either exits non-zero."""
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(list(first), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as source,
        subprocess.Popen(list(second), stdin=source.stdout, stdout=said, stderr=said, umask=0o022) as sink,
    ):
        # Ours would keep the source alive after the sink has died.
        source.stdout.close() if source.stdout else None
        codes = sink.wait(), source.wait()
        said.seek(0)
        words = said.read().decode(errors="replace")[-2000:]
    for argv, code in zip((second, first), codes, strict=True):
        if code:
            raise ProcessError(argv, f"exited with {code}", words)


def need(program: str) -> None:
    """Raise ToolMissingError, with the command that installs it, if there is no such program."""
    if shutil.which(program) is None:
        raise ToolMissingError(f"{program} is not installed", advice=f"apt-get install {package_of(program)}")


def package_of(program: str) -> str:
    """The Debian package that brings *program*."""
    return {
        "bwrap": "bubblewrap",
        "apt-get": "apt",
        "dpkg-deb": "dpkg",
        "mkfs.ext4": "e2fsprogs",
        "newuidmap": "uidmap",
        "prlimit": "util-linux",
        "setpriv": "util-linux",
        "du": "coreutils",
        "mount": "mount",
        "umount": "mount",
    }.get(Path(program).name, Path(program).name)


def _lines(
    process: subprocess.Popen[bytes], deadline: float, cancelled: threading.Event | None
) -> Iterator[str | None]:
    """Each line of output; a last None if the time is up or the run was cancelled."""
    assert process.stdout is not None  # noqa: S101 - for mypy: we asked for a pipe
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if time.monotonic() > deadline or (cancelled is not None and cancelled.is_set()):
                yield None
                return
            if not selector.select(_TICK_S):
                continue
            chunk = os.read(process.stdout.fileno(), _CHUNK_BYTES)
            if not chunk:
                break
            *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
