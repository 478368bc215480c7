"""Processes that die, freeze or live in another time."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import ClassVar

from tests.chaos.faults.fault import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.machines import LEASE_S
from tests.chaos.program import Program


def _faketime() -> Path | None:
    """The library of Debian's package faketime."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class KillNode(Fault):
    name, promises = "kill -9 node", "R1"

    def begin(self) -> str:
        node = self.any_node().program
        node.kill()
        return node.name


class KillMaster(Fault):
    name, promises = "kill -9 master", "R4"

    def begin(self) -> str:
        self.fleet.master.program.kill()
        return ""


class StopProcess(Fault):
    name, promises = "SIGTERM", "R1, R4, R17"

    def begin(self) -> str:
        program = self.any_machine().program
        program.kill(signal.SIGTERM)
        return program.name


class _Freeze(Fault):
    promises = "R18"

    def begin(self) -> str:
        node, other = self.any_node(), self.any_node()
        choices = [self.fleet.redis, self.fleet.master.program, node.program, other.program, other.door]
        self.frozen: Program = self.dice.choice(choices)
        self.frozen.tell(signal.SIGSTOP)
        return f"{self.frozen.name} for {self.seconds} s"

    def end(self) -> None:
        self.frozen.tell(signal.SIGCONT)


class Freeze(_Freeze):
    name, lasts = "SIGSTOP", (0.5, 3.0)


class LongFreeze(_Freeze):
    name, lasts = "SIGSTOP beyond the lease", (LEASE_S + 1, LEASE_S + 4)


class PowerCut(Fault):
    """A node's agent and SSH server are gone at once, and nobody on the other side is told; then it starts again."""

    name, promises, lasts = "power cut", "R1, R2", (1.0, 8.0)

    def begin(self) -> str:
        self.node = self.any_node()
        for wire in (self.node.wire, self.node.ssh):
            wire.half_open()
            wire.away = True
        for program in (self.node.program, self.node.door):
            program.held = True
            program.kill()
        return f"{self.node.name} for {self.seconds} s"

    def end(self) -> None:
        for wire in (self.node.wire, self.node.ssh):
            wire.mend()
        for program in (self.node.program, self.node.door):
            program.held = False


class WrongClock(Fault):
    """The node comes back with another time, which may jump; at the end it is restarted with the true one.

    Three days ahead the certificate of Redis has run out: the node must wait for its clock to be right.
    """

    name, promises, lasts = "wrong clock", "R6", (5.0, 12.0)
    shifts: ClassVar = ["+2h", "-2h", "-9d", "+3d", "jumps"]
    _JUMP_S = 1.5

    @classmethod
    def possible(cls, fleet: Fleet) -> bool:
        return bool(fleet) and _faketime() is not None

    def begin(self) -> str:
        self.node = self.any_node()
        self.shift = self.dice.choice(self.shifts)
        self._clock = self.fleet.folder / f"{self.node.name}.clock"
        self._jump_at = 0.0
        self.tick()
        program = self.node.program
        program.kill(signal.SIGTERM)
        program.environment = {
            **program.environment,
            "LD_PRELOAD": str(_faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return f"{program.name} {self.shift} for {self.seconds} s"

    def tick(self) -> bool:
        if time.monotonic() >= self._jump_at:
            self._jump_at = time.monotonic() + self._JUMP_S
            self._clock.write_text(self.dice.choice(self.shifts[:-1]) if self.shift == "jumps" else self.shift)
        return super().tick()

    def end(self) -> None:
        program = self.node.program
        ours = {"LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_CACHE_DURATION", "FAKETIME_DONT_FAKE_MONOTONIC"}
        program.environment = {key: value for key, value in program.environment.items() if key not in ours}
        program.kill(signal.SIGTERM)
