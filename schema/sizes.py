"""How large a build is: what it may take of a machine, judged by what the last build of its project took."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_GIB = 2**30

# A measured peak is not the highest there can be.
_MARGIN = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a machine must have for a build of some size."""

    name: str
    memory_bytes: int
    disk_bytes: int


# By size, from 0 on. Each holds what is too much for the one before.
NEEDS: Final = (
    Need(name="small", memory_bytes=_GIB // 2, disk_bytes=1 * _GIB),
    Need(name="medium", memory_bytes=1 * _GIB, disk_bytes=2 * _GIB),
    Need(name="large", memory_bytes=3 * _GIB, disk_bytes=4 * _GIB),
    Need(name="huge", memory_bytes=8 * _GIB, disk_bytes=16 * _GIB),
    Need(name="giant", memory_bytes=32 * _GIB, disk_bytes=64 * _GIB),
)
LARGEST: Final = len(NEEDS) - 1

# Of a build whose project was never built.
UNKNOWN: Final = 1
UNKNOWN_S: Final = 300.0


def of(resources: Mapping[str, float]) -> int | None:
    """The size of a build that took *resources* (as in ``BuildResult``); None where the node could not measure.

    What is larger than the largest counts as the largest. The numbers are a node's, and may be nonsense.
    """
    memory_bytes, disk_bytes = (measured(resources, key) for key in ("peak_memory_bytes", "disk_bytes"))
    if not memory_bytes:
        return None
    for size, need in enumerate(NEEDS):
        if memory_bytes * _MARGIN <= need.memory_bytes and disk_bytes * _MARGIN <= need.disk_bytes:
            return size
    return LARGEST


def measured(resources: Mapping[str, float], key: str) -> float:
    """One of the numbers; 0 where it is missing or cannot be."""
    value = resources.get(key, 0.0)
    return value if math.isfinite(value) and value > 0 else 0.0
