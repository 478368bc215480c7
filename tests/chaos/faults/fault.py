"""What every fault is: it begins, goes on for a while beside others, and ends."""

from __future__ import annotations

import random
import time
from typing import ClassVar

from tests.chaos.fleet import Fleet
from tests.chaos.machines import Machine, Node
from tests.chaos.proxy import Proxy


class Fault:
    """One fault of one kind; which exactly is drawn from its own seed, so that a schedule can be repeated.

    name: of the kind; promises: what of the reliability table (R1 …) it tests
    lasts: seconds between ``begin`` and ``end``, the least and the most
    """

    name: ClassVar[str]
    promises: ClassVar[str]
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __init__(self, fleet: Fleet, dice: random.Random) -> None:
        self.fleet, self.dice = fleet, dice
        self.seconds = round(dice.uniform(*self.lasts), 1)
        self._until = 0.0

    @classmethod
    def possible(cls, fleet: Fleet) -> bool:
        """Whether this machine and this farm can have it."""
        return bool(fleet)

    def start(self) -> str:
        """Begin; say in a few words what goes wrong."""
        self._until = time.monotonic() + self.seconds
        return self.begin()

    def begin(self) -> str:
        raise NotImplementedError

    def tick(self) -> bool:
        """Called again and again while it lasts; whether it is over."""
        return time.monotonic() >= self._until

    def end(self) -> None:
        """Put right what was made wrong; called once, however the run ends."""

    def any_node(self) -> Node:
        return self.fleet.nodes[self.dice.choice(self.fleet.node_names)]

    def any_machine(self) -> Machine:
        """A node, or the master as often as all nodes together."""
        return self.dice.choice([self.fleet.master, self.any_node()])

    def any_wire(self) -> tuple[str, Proxy]:
        """A way to Redis, of the master or of a node, or as often the master's way to a node's SSH server."""
        machine, node = self.any_machine(), self.any_node()
        ways = [(f"{machine.program.name} to Redis", machine.wire), (f"SSH to {node.name}", node.ssh)]
        return self.dice.choice(ways)
