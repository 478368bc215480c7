"""How much disk a build uses: asked of its own file system where it has one, else counted.

Counting comes late, and misses what is removed and closed but still mapped; ``builder.isolation`` calls it "watchdog".
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder import process
from builder.limits.watchdog import descendants
from builder.workspace import own_file_system
from schema.errors import NodeError
from schema.states import FailureClass

# A file system counts as full a little before it is: what a build could not write is gone once it has ended.
_SPARE_SHARE = 0.01
_SPARE_BYTES = 16 * 2**20
# As mkfs.ext4 provides them: one file or folder for so many bytes.
_BYTES_PER_FILE = 16 * 1024
# Counting may cost at most a tenth of the time.
_PAUSE_PER_COUNT = 9.0


@dataclass(slots=True, kw_only=True)
class DiskMeter:
    """Watches the folders that a build writes to.

    pid: the sandbox's first process
    peak_bytes: the most that was seen
    """

    folders: Sequence[Path]
    limit_bytes: int
    pid: int
    peak_bytes: int = 0
    _next_count: float = 0.0
    _mounts: list[Path] = field(default_factory=list)
    _counted: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in self.folders:
            mount = own_file_system(folder)
            if mount is None:
                self._counted.append(folder)
            elif mount not in self._mounts:
                self._mounts.append(mount)

    def look(self, *, final: bool = False) -> FailureClass | None:
        """DISK once the folders together hold more than the limit, too many files, or their file system is full."""
        full, used = False, 0
        for mount in self._mounts:
            mount_full, mount_used = _file_system(mount)
            full, used = full or mount_full, used + mount_used
        if self._counted and (final or time.monotonic() >= self._next_count):
            started = time.monotonic()
            used += _du(self._counted, "--block-size=1") + _nameless_bytes(self.pid)
            full = full or _du(self._counted, "--inodes") > max(self.limit_bytes // _BYTES_PER_FILE, 1024)
            now = time.monotonic()
            self._next_count = now + max((now - started) * _PAUSE_PER_COUNT, 0.5)
        self.peak_bytes = max(self.peak_bytes, used)
        return FailureClass.DISK if full or used > self.limit_bytes else None


def _file_system(mount: Path) -> tuple[bool, int]:
    """Whether it is full (bytes or inodes), and the bytes used."""
    status = os.statvfs(mount)
    spare = min(_SPARE_BYTES, int(status.f_blocks * status.f_frsize * _SPARE_SHARE))
    full = status.f_bavail * status.f_frsize < spare or status.f_favail * 100 < status.f_files
    return full, (status.f_blocks - status.f_bfree) * status.f_frsize


def _du(folders: Sequence[Path], unit: str) -> int:
    """What ``du`` counts: it follows no link, leaves no file system, and survives trees of any depth."""
    try:
        said = process.run(["du", "--summarize", "--one-file-system", unit, "--", *map(str, folders)])
    except process.ProcessError as err:
        # Files vanish while they are counted; the sums stand all the same.
        said = err.output
    except NodeError:
        return 0
    counts = (line.split("\t")[0] for line in said.splitlines())
    return sum(int(count) for count in counts if count.isdigit())


def _nameless_bytes(pid: int) -> int:
    """What the build holds open of files that have no name any more, or never had one."""
    found: dict[tuple[int, int], int] = {}
    for process_id in descendants(pid):
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{process_id}/fd").iterdir():
                with contextlib.suppress(OSError):
                    status = link.stat()
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                        found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())
