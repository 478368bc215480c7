"""The roads to Redis, to nodes and to the upstream: lost data, cuts, silence, delay, bit errors, partition."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

import redis

from tests.chaos.faults.fault import Fault
from tests.chaos.machines import LEASE_S
from tests.chaos.proxy import Way

_SILENCES = {Way.BOTH: "silence", Way.THERE: "no question arrives", Way.BACK: "no answer arrives"}
_BIT_ERROR_SHARE = 0.1  # of the harness's turns, twenty a second


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


class _Hit(Fault):
    """Waits for a connection on its wire: those over SSH are short."""

    lasts = (8.0, 8.0)

    def begin(self) -> str:
        self.who, self.wire = self.any_wire()
        return f"{self.who}{self.plan()}"

    def plan(self) -> str:
        """Draw how; say it."""
        return ""

    def hit(self) -> int:
        """Hurt what is connected now; say how many connections."""
        raise NotImplementedError

    def tick(self) -> bool:
        return self.hit() > 0 or super().tick()


class HalfOpen(_Hit):
    """The other end of every connection of one wire is gone, and no packet tells it so."""

    name, promises = "half-open connections", "R2"

    def hit(self) -> int:
        return self.wire.half_open()


class Cut(_Hit):
    name, promises = "cut in the middle of a message", "R2, R9"

    def plan(self) -> str:
        self.after_bytes = self.dice.randrange(8000)
        return f" after {self.after_bytes} bytes"

    def hit(self) -> int:
        return self.wire.cut(after_bytes=self.after_bytes)


class BlackHole(Fault):
    """Nothing gets through, or only one way, and all of it does later."""

    name, promises, lasts = "black hole", "R2", (1.0, 15.0)

    def begin(self) -> str:
        who, self.wire = self.any_wire()
        self.wire.silent = self.dice.choice(list(_SILENCES))
        return f"{who}, {_SILENCES[self.wire.silent]}, for {self.seconds} s"

    def end(self) -> None:
        self.wire.mend()


class Partition(Fault):
    """A node is reached by nobody and reaches nobody: silence, both ways or one, or a reset for who tries."""

    name, promises, lasts = "node partitioned", "R2", (LEASE_S / 2, 2 * LEASE_S)

    def begin(self) -> str:
        node = self.any_node()
        self.wires = [node.wire, node.ssh]
        way = self.dice.choice([Way.NEITHER, *_SILENCES])
        for wire in self.wires:
            wire.silent, wire.away = way, way is Way.NEITHER
            if wire.away:
                wire.cut()
        return f"{node.name}, {_SILENCES.get(way, 'resets')}, for {self.seconds} s"

    def end(self) -> None:
        for wire in self.wires:
            wire.mend()


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
