"""Memory and processes counted by looking at ``/proc``: the floor for machines without control groups.

A watchdog looks five times a second, so a build can be over its limit for that long; what lies in memory without being
mapped (a memfd) is not seen. ``builder.isolation`` says so in the isolation that a build is recorded with.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from schema.jobs import Limits
from schema.states import FailureClass

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")


@dataclass(slots=True, kw_only=True)
class Watchdog:
    """Counts the processes below *pid*, the sandbox's first process.

    memory, processes: what to watch; the other may be held by a control group
    used_bytes: as last seen, peak_bytes: the most that was seen; cpu_s: user and system time as last seen
    """

    pid: int
    limits: Limits
    memory: bool = True
    processes: bool = True
    used_bytes: int = 0
    peak_bytes: int = 0
    cpu_s: float = 0.0

    def look(self) -> FailureClass | None:
        """MEMORY or PROCESSES once there is more than the limit allows."""
        pids = descendants(self.pid)
        self.cpu_s = max(self.cpu_s, sum(map(_cpu_s, pids)))
        if self.processes and len(pids) > self.limits.processes:
            return FailureClass.PROCESSES
        if self.memory and self._memory_bytes(pids) > self.limits.memory_bytes:
            return FailureClass.MEMORY
        return None

    def _memory_bytes(self, pids: list[int]) -> int:
        used = sum(map(_resident_bytes, pids))
        if used > self.limits.memory_bytes:
            # Shared pages were counted once for each process; the exact figure costs more, and is needed only here.
            used = sum(map(_proportional_bytes, pids))
        self.used_bytes, self.peak_bytes = used, max(self.peak_bytes, used)
        return used


def descendants(pid: int) -> list[int]:
    """*pid* and all below it; the first process of a PID namespace adopts every orphan, so nothing escapes this."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for thread in (_PROC / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError):
                    todo.extend(map(int, (thread / "children").read_text().split()))
    return found


def _cpu_s(pid: int) -> float:
    """Of the process and of those of its children that it has waited for."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS_PER_S
    except (OSError, ValueError):
        return 0.0


def _resident_bytes(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _proportional_bytes(pid: int) -> int:
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    # A process may hide its maps from us; then all that it shares counts as its own.
    return _resident_bytes(pid)
