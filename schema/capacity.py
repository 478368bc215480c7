"""Whether a machine has room for a build of some size, and if not, why: for whoever gives builds out or explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schema.sizes import NEEDS, UNKNOWN

_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A node's machine, as it says itself; 0 where it does not say: then there is room."""

    memory_bytes: int
    disk_free_bytes: int


def fits(size: int, machine: Machine, running: Sequence[int] = ()) -> str:
    """Why a build of that *size* has no room on the machine, to be put after the node's name; "" where it has.

    running: the sizes of what is built there now. A machine with nothing to do tries whatever is not known to be
    large, however small it is itself: else a farm of small boards would never begin.
    """
    if not running and size <= UNKNOWN:
        return ""
    need = NEEDS[size]
    taken = sum(NEEDS[item].memory_bytes for item in running)
    if machine.memory_bytes and machine.memory_bytes < need.memory_bytes:
        return f"has {_gib(machine.memory_bytes)} of memory, the build may take {_gib(need.memory_bytes)}"
    if machine.memory_bytes and machine.memory_bytes - taken < need.memory_bytes:
        free = max(machine.memory_bytes - taken, 0)
        return f"has {_gib(free)} of memory to spare beside its builds, the build may take {_gib(need.memory_bytes)}"
    if machine.disk_free_bytes and machine.disk_free_bytes < need.disk_bytes:
        return f"has {_gib(machine.disk_free_bytes)} of free disk, the build may take {_gib(need.disk_bytes)}"
    return ""


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"
