"""The files of a root file system that nobody trusts, by the names that they have inside of it; none leads out.

A link to ``/etc`` or up leads to where it leads inside. The kernel itself resolves each name so (openat2, Linux 5.6);
where it cannot, which is where qemu is before it, each part of a name is looked at here, and none is followed unseen.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

# The same number on every architecture that a node may be of.
_SYS_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x01, 0x02, 0x04, 0x08, 0x10
# The kernel asks for another try where something is renamed meanwhile.
_TRIES = 32
# As the kernel counts them.
_MOST_LINKS = 40
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
            return self._walk(name, flags | os.O_CLOEXEC, links=links)
        raise OSError(code, os.strerror(code), name)

    def _walk(self, name: str, flags: int, *, links: bool) -> int:
        """The same without openat2."""
        device, followed = os.fstat(self._fd).st_dev, 0
        # The folders that lead there, from the root on; and what is still to come, the next part last.
        trail, left = [os.dup(self._fd)], name.split("/")[::-1]
        if not links and name.startswith("/"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
        try:
            while left:
                part = left.pop()
                if part == ".." and len(trail) > 1:
                    os.close(trail.pop())
                if part in {"", ".", ".."}:
                    continue
                if (target := _link(part, trail[-1])) is not None:
                    followed += 1
                    if not links or followed > _MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
                    if target.startswith("/"):
                        _close(trail[1:])
                        del trail[1:]
                    left += target.split("/")[::-1]
                    continue
                is_last = not any(other not in {"", "."} for other in left)
                here = flags if is_last else os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
                trail.append(os.open(part, here | os.O_NOFOLLOW, dir_fd=trail[-1]))
                if os.fstat(trail[-1]).st_dev != device:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
                if is_last:
                    return trail.pop()
            return os.open(".", flags, dir_fd=trail[-1])
        finally:
            _close(trail)


def _link(name: str, folder: int) -> str | None:
    """Where the link leads; None for what is none."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as err:
        if err.errno == errno.EINVAL:
            return None
        raise


def _close(numbers: Iterable[int]) -> None:
    for number in numbers:
        os.close(number)
