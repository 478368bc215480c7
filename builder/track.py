"""What an attempt uses as time goes, in as many points however long it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from builder.limits.cgroup import Group
from builder.limits.watchdog import Watchdog
from schema.jobs import MOST_USAGE, Usage


@dataclass(slots=True, kw_only=True)
class Track:
    """The points so far. One is added each *pause_s* seconds; before there are too many, each two become one.

    began: by ``time.monotonic()``; most: points, an even number
    """

    began: float = field(default_factory=time.monotonic)
    most: int = MOST_USAGE
    pause_s: float = 1.0
    points: list[Usage] = field(default_factory=list)
    _ended_cpu_s: float = 0.0
    _memory_bytes: int = 0

    def note(self, cpu_s: float, memory_bytes: int, *, last: bool = False) -> None:
        """A run in the sandbox has used so much processor time by now, and uses so much memory; last: it has ended."""
        at_s = time.monotonic() - self.began
        self._memory_bytes = max(self._memory_bytes, memory_bytes)
        if last or at_s - (self.points[-1].at_s if self.points else 0.0) >= self.pause_s:
            self._add(at_s, self._ended_cpu_s + cpu_s)
        if last:
            self._ended_cpu_s += cpu_s

    def _add(self, at_s: float, cpu_s: float) -> None:
        if len(self.points) >= self.most:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [_one(first, second) for first, second in pairs]
            self.pause_s *= 2
        self.points.append(Usage(at_s=round(at_s, 2), cpu_s=round(cpu_s, 2), memory_bytes=self._memory_bytes))
        self._memory_bytes = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A meter that holds a run to nothing, and only notes what it uses; it is looked at after the watchdog."""

    track: Track
    group: Group
    watchdog: Watchdog

    def look(self, *, last: bool = False) -> None:
        """Note it; last: the run has ended."""
        memory_bytes = self.group.memory_bytes() or self.watchdog.used_bytes
        self.track.note(self.group.cpu_s() or self.watchdog.cpu_s, memory_bytes, last=last)


def _one(first: Usage, second: Usage) -> Usage:
    most = max(first.memory_bytes, second.memory_bytes)
    return Usage(at_s=second.at_s, cpu_s=second.cpu_s, memory_bytes=most)
