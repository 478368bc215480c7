"""Processes that die, freeze or live in another time."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import ClassVar

from tests.chaos.faults.fault import Fault
from tests.chaos.fleet import LEASE_S, Fleet, Machine
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
        choices = [self.fleet.redis, self.fleet.master.program, self.any_node().program, self.any_node().program]
        self.frozen: Program = self.dice.choice(choices)
        self.frozen.tell(signal.SIGSTOP)
        return f"{self.frozen.name} for {self.seconds} s"

    def end(self) -> None:
        self.frozen.tell(signal.SIGCONT)


class Freeze(_Freeze):
    name, lasts = "SIGSTOP", (0.5, 3.0)


class LongFreeze(_Freeze):
    name, lasts = "SIGSTOP beyond the lease", (LEASE_S + 1, LEASE_S + 4)


class WrongClock(Fault):
    """The node comes back with its clock two hours off; at the end it is restarted with the true time."""

    name, promises, lasts = "clock two hours off", "R6", (5.0, 12.0)
    shifts: ClassVar = ["+2h", "-2h"]

    @classmethod
    def possible(cls, fleet: Fleet) -> bool:
        return bool(fleet) and _faketime() is not None

    def begin(self) -> str:
        self.node: Machine = self.any_node()
        shift = self.dice.choice(self.shifts)
        program = self.node.program
        program.kill(signal.SIGTERM)
        program.environment = {
            **program.environment,
            "LD_PRELOAD": str(_faketime()),
            "FAKETIME": shift,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return f"{program.name} {shift} for {self.seconds} s"

    def end(self) -> None:
        program = self.node.program
        program.environment = {"PYTHONPATH": program.environment["PYTHONPATH"]}
        program.kill(signal.SIGTERM)
