"""The log of one job: everything that the build and the farm said, in one file, with a cap."""

from __future__ import annotations

import os
import threading
from pathlib import Path

# The farm's own lines still fit after the project's output has filled the log.
_RESERVE_BYTES = 64 * 1024
# Of what does not fit any more the end is kept: a build that compilers flood with warnings may still fail.
_END_BYTES = 256 * 1024
# So many times the limit may be said in all. What says more is no build, but a flood.
_FLOOD = 16
_CHUNK_BYTES = 1024 * 1024


class Log:
    """An append-only file that several threads may write to.

    limit_bytes: of what ``write`` takes whole; of more, only the end is kept, and of far more, ``full`` turns true
    bytes_written: the length of the file, at most one and a half times the limit and some lines of the farm's own

    The bytes are the project's own, escape sequences and all: whoever shows them filters them.
    """

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self.bytes_written = 0
        self._said_bytes = self._ends_bytes = self._steps_bytes = self._left_out_bytes = 0
        self._end = bytearray()
        self._lock = threading.Lock()
        # A job's log begins empty, whatever an earlier attempt under the same name left.
        self.path.write_bytes(b"")

    @property
    def full(self) -> bool:
        """Whether more was said than any build has to say."""
        return self._said_bytes > _FLOOD * self.limit_bytes

    @property
    def most_bytes(self) -> int:
        """How much may be said before ``full`` turns true."""
        return _FLOOD * self.limit_bytes

    def write(self, data: bytes) -> None:
        """Append the project's output, as far as it fits; of the rest, the end is appended by ``settle``."""
        with self._lock:
            room = max(self.limit_bytes - self._said_bytes, 0)
            self._said_bytes += len(data)
            if data[:room]:
                self._append(data[:room])
            if rest := data[room:]:
                self._left_out_bytes += len(rest)
                self._end += rest
                del self._end[: -min(_END_BYTES, max(self.limit_bytes // 4, 1))]

    def settle(self) -> None:
        """Append the end of what did not fit; to be called when whoever spoke has ended."""
        with self._lock:
            self._settle()

    def step(self, text: str) -> None:
        """Append one line of the farm's own, such as the name of the next step."""
        with self._lock:
            self._settle()
            line = f"--- {text}\n".encode(errors="replace")
            self._steps_bytes += len(line)
            if self.bytes_written < self.limit_bytes or self._steps_bytes <= _RESERVE_BYTES:
                self._append(line)

    def read(self, offset: int, limit: int = 256 * 1024) -> bytes:
        """At most *limit* bytes from byte *offset* on; empty where there are none yet."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(limit)

    def lines_before(self, offset: int) -> int:
        """How many lines end before byte *offset*."""
        with self.path.open("rb") as file:
            chunks = iter(lambda: file.read(min(_CHUNK_BYTES, offset - file.tell())), b"")
            return sum(chunk.count(b"\n") for chunk in chunks)

    def tail(self, limit: int = 64 * 1024) -> str:
        """The last *limit* bytes as text; what is not UTF-8 is replaced."""
        return self.read(max(self.bytes_written - limit, 0), limit).decode(errors="replace")

    def _settle(self) -> None:
        if not self._left_out_bytes:
            return
        room = self.limit_bytes // 2 - self._ends_bytes
        end = bytes(self._end) if len(self._end) <= room else b""
        left_out = self._left_out_bytes - len(end)
        told = f"\n--- {left_out} bytes are left out here: the log may have {self.limit_bytes}\n" if left_out else ""
        text = told.encode() + (end if end.endswith(b"\n") or not end else end + b"\n")
        if end or self._ends_bytes < self.limit_bytes // 2 + _RESERVE_BYTES:
            self._append(text)
            self._ends_bytes += len(text)
        self._left_out_bytes = 0
        self._end.clear()

    def _append(self, data: bytes) -> None:
        # Opened anew each time: nothing to close, and a log that was moved or removed harms nobody.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self.path, flags, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
        finally:
            os.close(file)
        self.bytes_written += len(data)
