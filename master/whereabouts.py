"""Which process of which machine something is; so that one that was killed is known for dead by its neighbours."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

_ENDED = {"Z", "X", "x"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process, told from every other on every machine.

    place: the machine since it was booted, and the name space of its process ids
    started: by the kernel's clock, since an id is given out again
    """

    place: str
    pid: int
    started: int

    def __str__(self) -> str:
        """Such as ``1f0c2a9b44d0/4711/88231``."""
        return f"{self.place}/{self.pid}/{self.started}"


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(place=_place(), pid=pid, started=_started(pid) or 0)


def is_dead(text: str) -> bool:
    """Whether the process (as ``str`` of it) was one of this place, and is no more; False for what cannot be known."""
    place, _, rest = text.partition("/")
    pid, _, started = rest.partition("/")
    if place != _place() or not pid.isdecimal():
        return False
    return str(_started(int(pid))) != started


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return hashlib.sha256(f"{boot}{Path('/proc/self/ns/pid').readlink()}".encode()).hexdigest()[:12]


def _started(pid: int) -> int | None:
    """None where there is no such process, or where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in _ENDED else int(fields[18])
