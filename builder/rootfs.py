"""The files of a root file system that nobody trusts, by the names that they have inside of it; none leads out.

The kernel itself resolves each name (openat2, Linux 5.6): a link to ``/etc`` or up leads to where it leads inside.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Self

from schema.errors import NodeError

# The same number on every architecture that a node may be of.
_SYS_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x01, 0x02, 0x04, 0x08, 0x10
# The kernel asks for another try where something is renamed meanwhile.
_TRIES = 32
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_LIBC.syscall.restype = ctypes.c_long


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Root:
    """The root in *folder*, whose own path is trusted. All names are relative to it, such as ``etc/passwd``."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def folder(self, name: str, *, links: bool = True) -> int:
        """A descriptor of a folder; "" is the root itself. Raise OSError, also for a link on the way unless *links*."""
        return self._open(name or ".", os.O_PATH | os.O_DIRECTORY, links=links)

    def open(self, name: str, *, links: bool = True) -> BinaryIO:
        """A regular file, to read. Raise OSError, also for what is no such file."""
        # A FIFO would not open before somebody writes to it.
        number = self._open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, links=links)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(errno.EINVAL, "is no regular file", name)
        return os.fdopen(number, "rb")

    def read(self, name: str, *, most_bytes: int) -> bytes:
        """What is in a regular file. Raise OSError, also if it is larger than *most_bytes*."""
        with self.open(name) as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise OSError(errno.EFBIG, f"is larger than {most_bytes} bytes", name)
        return data

    def holds(self, name: str, *, links: bool = True) -> bool:
        """Whether there is such a regular file."""
        try:
            self.open(name, links=links).close()
        except OSError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted; nothing where there is no such folder."""
        try:
            number = self._open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return []
        try:
            return sorted(os.listdir(number))  # noqa: PTH208 - of a descriptor
        finally:
            os.close(number)

    def _open(self, name: str, flags: int, *, links: bool = True) -> int:
        resolve = _NO_XDEV | _NO_MAGICLINKS | (_IN_ROOT if links else _BENEATH | _NO_SYMLINKS)
        how = _How(flags | os.O_CLOEXEC, 0, resolve)
        code = errno.EAGAIN
        for _ in range(_TRIES):
            number = _LIBC.syscall(_SYS_OPENAT2, self._fd, os.fsencode(name), ctypes.byref(how), ctypes.sizeof(how))
            if number >= 0:
                return int(number)
            if (code := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
                break
        if code == errno.ENOSYS:
            raise NodeError("the kernel has no openat2", advice="images want Linux 5.6 or newer")
        raise OSError(code, os.strerror(code), name)
