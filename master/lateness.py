"""How late heartbeats are: a busy master hears what a node said long ago, and must not take it for news."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from schema.jobs import Heartbeat
from schema.names import NodeName

# Two clocks of machines may drift apart: what was least once does not stay so for ever.
_DRIFT = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class _Least:
    boot: str
    difference_s: float
    seen_at_s: float


@dataclass(frozen=True, slots=True)
class Lateness:
    """Compares each heartbeat with the fastest one of that node since its machine was started.

    A node says how long its machine is up; that and the master's own clock differ by an amount which nobody knows, but
    which stays: what a message's difference is above the least one is the time that it was on its way.
    clock: seconds that only rise
    """

    clock: Callable[[], float] = time.monotonic
    _least: dict[NodeName, _Least] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def of(self, heartbeat: Heartbeat) -> float:
        """Seconds between saying and now; 0 where the node does not tell how long its machine is up."""
        if not heartbeat.boot:
            return 0.0
        with self._one_at_a_time:
            moment = self.clock()
            difference_s = least_s = moment - heartbeat.uptime_s
            known = self._least.get(heartbeat.node)
            if known is not None and known.boot == heartbeat.boot:
                drifted_s = known.difference_s + _DRIFT * (moment - known.seen_at_s)
                least_s = min(drifted_s, difference_s)
            self._least[heartbeat.node] = _Least(boot=heartbeat.boot, difference_s=least_s, seen_at_s=moment)
            return difference_s - least_s
