"""Redis and the road to it: lost data, cuts, silence, delay; and the same for the road to the upstream."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

import redis

from tests.chaos.faults.fault import Fault
from tests.chaos.proxy import Proxy


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
        client = redis.Redis(port=self.fleet.redis_port, socket_timeout=1, socket_connect_timeout=1)
        with contextlib.closing(client), contextlib.suppress(redis.RedisError):
            client.flushall()
        return ""


class HalfOpen(Fault):
    """The other end of every connection of one process is gone, and no packet tells it so."""

    name, promises = "half-open connections", "R2"

    def begin(self) -> str:
        machine = self.any_machine()
        return f"{machine.wire.half_open()} of {machine.program.name}"


class BlackHole(Fault):
    """Partition: nothing gets through, and all of it does later."""

    name, promises, lasts = "black hole", "R2", (1.0, 15.0)

    def begin(self) -> str:
        machine = self.any_machine()
        self.wire: Proxy = machine.wire
        self.wire.silent = True
        return f"{machine.program.name} for {self.seconds} s"

    def end(self) -> None:
        self.wire.mend()


class Cut(Fault):
    name, promises = "cut in the middle of a message", "R2, R9"

    def begin(self) -> str:
        machine = self.any_machine()
        after_bytes = self.dice.randrange(400)
        return f"{machine.wire.cut(after_bytes=after_bytes)} of {machine.program.name}, after {after_bytes} bytes"


class Delay(Fault):
    name, promises, lasts = "slow wire", "R2", (2.0, 8.0)

    def begin(self) -> str:
        machine = self.any_machine()
        self.wire: Proxy = machine.wire
        self.wire.delay_s = self.dice.uniform(0.05, 0.5)
        return f"{machine.program.name}, {self.wire.delay_s:.2f} s for {self.seconds} s"

    def end(self) -> None:
        self.wire.mend()


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
            "silence": lambda: setattr(road, "silent", True),
            "refused": lambda: setattr(road, "away", True),
            "cut": lambda: road.cut(after_bytes=self.dice.randrange(1, 400)),
        }
        way = self.dice.choice(sorted(ways))
        ways[way]()
        return f"{way} for {self.seconds} s"

    def end(self) -> None:
        self.fleet.upstream.mend()
        self.fleet.road.mend()
