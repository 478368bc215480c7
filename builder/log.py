"""The log of one job: everything that the build and the farm said, in one file, with a cap."""

from __future__ import annotations

import os
import threading
from pathlib import Path

# The farm's own lines still fit after the project's output has filled the log.
_RESERVE_BYTES = 64 * 1024
_CHUNK_BYTES = 1024 * 1024


class Log:
    """An append-only file that several threads may write to.

    limit_bytes: of what ``write`` takes; the rest is dropped, and ``full`` turns true
    bytes_written: the length of the file

    The bytes are the project's own, escape sequences and all: whoever shows them filters them.
    """

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self.bytes_written = 0
        self.full = False
        self._lock = threading.Lock()
        # A job's log begins empty, whatever an earlier attempt under the same name left.
        self.path.write_bytes(b"")

    def write(self, data: bytes) -> None:
        """Append the project's output, as far as it fits."""
        with self._lock:
            room = self.limit_bytes - self.bytes_written
            if len(data) <= room:
                self._append(data)
            elif not self.full:
                self.full = True
                self._append(data[: max(room, 0)])
                self._append(f"\n--- the log ends here: more than {self.limit_bytes} bytes\n".encode())

    def step(self, text: str) -> None:
        """Append one line of the farm's own, such as the name of the next step."""
        with self._lock:
            if self.bytes_written < self.limit_bytes + _RESERVE_BYTES:
                self._append(f"--- {text}\n".encode(errors="replace"))

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
