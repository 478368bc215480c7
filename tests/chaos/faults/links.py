"""The roads to Redis, to nodes and to the upstream: lost data, cuts, silence, delay, bit errors, partition."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

import redis

from tests.chaos.faults.fault import Fault
from tests.chaos.machines import LEASE_S
from tests.chaos.proxy import Way

_WAYS = [Way.BOTH, Way.THERE, Way.BACK]
_BIT_ERROR_SHARE = 0.1  # of the harness's turns, twenty a second


def _named(way: Way) -> str:
    return {
        Way.NEITHER: "resets",
        Way.BOTH: "silence",
        Way.THERE: "no question arrives",
        Way.BACK: "no answer arrives",
    }[way]


class KillRedis(Fault):
    """Redis keeps nothing on disk here: it comes back empty."""

    name, promises, lasts = "kill -9 Redis, data lost", "R3", (0.0, 5.0)

    def begin(self) -> str:
        self.fleet.redis.held = True
        self.fleet.redis.kill(self.dice.choice([signal.SIGKILL, signal.SIGTERM]))
        return f"away for {self.seconds} s"

    def end(self) -> None:
        self.fleet.redis.held = False


class Flush(Fault):
    name, promises = "FLUSHALL", "R3"

    def begin(self) -> str:
        with contextlib.suppress(redis.RedisError), self.fleet.redis_client() as client:
            client.flushall()
        return ""


class HalfOpen(Fault):
    """The other end of every connection of one wire is gone, and no packet tells it so."""

    name, promises = "half-open connections", "R2"

    def begin(self) -> str:
        who, wire = self.any_wire()
        return f"{wire.half_open()} of {who}"


class BlackHole(Fault):
    """Nothing gets through, or only one way, and all of it does later."""

    name, promises, lasts = "black hole", "R2", (1.0, 15.0)

    def begin(self) -> str:
        who, self.wire = self.any_wire()
        self.wire.silent = self.dice.choice(_WAYS)
        return f"{who}, {_named(self.wire.silent)}, for {self.seconds} s"

    def end(self) -> None:
        self.wire.mend()


class Partition(Fault):
    """A node is reached by nobody and reaches nobody: silence, both ways or one, or a reset for who tries."""

    name, promises, lasts = "node partitioned", "R2", (LEASE_S / 2, 2 * LEASE_S)

    def begin(self) -> str:
        node = self.any_node()
        self.wires = [node.wire, node.ssh]
        way = self.dice.choice([Way.NEITHER, *_WAYS])
        for wire in self.wires:
            wire.silent, wire.away = way, way is Way.NEITHER
            if wire.away:
                wire.cut()
        return f"{node.name}, {_named(way)}, for {self.seconds} s"

    def end(self) -> None:
        for wire in self.wires:
            wire.mend()


class Cut(Fault):
    name, promises = "cut in the middle of a message", "R2, R9"

    def begin(self) -> str:
        who, wire = self.any_wire()
        after_bytes = self.dice.randrange(4000)
        return f"{wire.cut(after_bytes=after_bytes)} of {who}, after {after_bytes} bytes"


class Delay(Fault):
    name, promises, lasts = "slow wire", "R2", (2.0, 8.0)

    def begin(self) -> str:
        who, self.wire = self.any_wire()
        self.wire.delay_s = self.dice.uniform(0.05, 0.5)
        return f"{who}, {self.wire.delay_s:.2f} s for {self.seconds} s"

    def end(self) -> None:
        self.wire.mend()


class BitErrors(Fault):
    """What is sent arrives with a wrong bit in it, now and then."""

    name, promises, lasts = "bit errors", "R2, R9", (2.0, 6.0)

    def begin(self) -> str:
        self.wires = dict([self.any_wire(), self.any_wire()])
        return f"{', '.join(self.wires)} for {self.seconds} s"

    def tick(self) -> bool:
        for wire in self.wires.values():
            if self.dice.random() < _BIT_ERROR_SHARE:
                wire.damaged = 1
        return super().tick()

    def end(self) -> None:
        for wire in self.wires.values():
            wire.mend()


class UpstreamAway(Fault):
    """The upstream does not answer, answers with errors, or drips."""

    name, promises, lasts = "upstream away", "R14", (2.0, 8.0)

    def begin(self) -> str:
        upstream, road = self.fleet.upstream, self.fleet.road
        ways: dict[str, Callable[[], object]] = {
            "500": lambda: upstream.fail(status=500),
            "503": lambda: upstream.fail(status=503, headers={"Retry-After": "1"}),
            "429": lambda: upstream.fail(status=429, headers={"Retry-After": "2"}),
            "drip": lambda: upstream.fail(drip_s=0.02),
            "silence": lambda: setattr(road, "silent", Way.BOTH),
            "refused": lambda: setattr(road, "away", True),
            "cut": lambda: road.cut(after_bytes=self.dice.randrange(1, 400)),
        }
        way = self.dice.choice(sorted(ways))
        ways[way]()
        return f"{way} for {self.seconds} s"

    def end(self) -> None:
        self.fleet.upstream.mend()
        self.fleet.road.mend()
