"""What this machine has for builds: the kernel's numbers, or what a container leaves of them."""

from __future__ import annotations

import math
import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of version 2 and of version 1


def memory_bytes(groups: Path = _GROUPS) -> int:
    """The memory that all builds together may use.

    groups: where control groups are mounted; a container sees its own as the topmost
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(limit for name in _LIMITS if (limit := _number(groups / name)) is not None)])


def cores(groups: Path = _GROUPS) -> int:
    """The processors that this process may use, at least 1; part of one counts as one."""
    usable = len(os.sched_getaffinity(0))
    quota = _words(groups / "cpu.max")
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit() and int(quota[1]):  # noqa: PLR2004 - quota, period
        usable = min(usable, math.ceil(int(quota[0]) / int(quota[1])))
    return max(usable, 1)


def _number(file: Path) -> int | None:
    """What the file says; None where there is no such limit."""
    words = _words(file)
    return int(words[0]) if words and words[0].isdigit() and int(words[0]) else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
