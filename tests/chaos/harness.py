"""Run one farm through a seeded schedule of faults, wait until it has settled, and write the ledger."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from schema.errors import UnavailableError
from schema.sections import ImagesSection
from tests.chaos.faults import KINDS
from tests.chaos.faults.fault import Fault
from tests.chaos.fleet import Fleet
from tests.chaos.ledger import Ledger, ledger
from tests.chaos.tracebacks import tracebacks

_LOOK_PAUSE_S = 2.0
_TURN_S = 0.05
_SETTLE_S = 600.0
_TELL_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. The seed alone says which faults come in which order, and what each of them draws.

    pause_s: between two faults, on average; names: of the kinds; empty for all that are possible
    """

    seed: int
    builds: int
    faults: int
    database: str = "sqlite"
    nodes: int = 3
    pause_s: float = 0.0
    names: tuple[str, ...] = ()
    long_database_share: float = 1 / 6

    @property
    def mean_pause_s(self) -> float:
        """About as many seconds as the builds take on two cores, spread over the faults."""
        return self.pause_s or self.builds / self.faults


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a run.

    log: one line for each fault; tracebacks: what the farm's processes wrote into their logs, for the curious
    logs: where those were kept, if anything failed
    """

    plan: Plan
    ledger: Ledger
    seconds: float
    faults: Counter[str]
    log: list[str] = field(default_factory=list)
    tracebacks: Counter[str] = field(default_factory=Counter)
    logs: Path | None = None


@dataclass(slots=True)
class _Run:
    plan: Plan
    fleet: Fleet
    lines: list[str] = field(default_factory=list)
    begun: Counter[str] = field(default_factory=Counter)
    active: list[Fault] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _looked: float = 0.0

    def say(self, text: str) -> None:
        self.lines.append(f"{time.monotonic() - self._started:7.1f} s  {text}")
        sys.stderr.write(f"seed {self.plan.seed}: {self.lines[-1]}\n")

    def hurt(self) -> None:
        """Every fault of the schedule, each beside those that still last."""
        for pause_s, kind, seed in schedule(self.plan, self.fleet):
            self._go_on(until=time.monotonic() + pause_s)
            fault = kind(self.fleet, random.Random(seed))
            self.active.append(fault)
            self.begun[kind.name] += 1
            self.say(f"{kind.name}: {fault.start()}")

    def settle(self) -> None:
        """Until every fault is over, every build has ended and every page is written.

        Fail once no further build has ended for ten minutes: how long all of them take depends on the machine.
        """
        left, deadline, tell_at = -1, time.monotonic() + _SETTLE_S, time.monotonic() + _TELL_S
        while not self._settled():
            with contextlib.suppress(UnavailableError):
                if (now_left := self.fleet.unfinished()) != left:
                    left, deadline = now_left, time.monotonic() + _SETTLE_S
                if time.monotonic() >= tell_at:
                    tell_at += _TELL_S
                    self.say(f"still to come: {left}; {self.fleet.open_builds()}")
            assert time.monotonic() < deadline, f"no build ended for {_SETTLE_S:.0f} s: {self.fleet.states()}"
            self._go_on(until=time.monotonic() + 0.5)

    def end(self) -> None:
        """End what still lasts."""
        while self.active:
            self.active.pop().end()

    def _settled(self) -> bool:
        with contextlib.suppress(UnavailableError):
            return not self.active and not self.fleet.unfinished() and self.fleet.quiet()
        return False

    def _go_on(self, *, until: float) -> None:
        while True:
            for fault in [item for item in self.active if item.tick()]:
                self.active.remove(fault)
                fault.end()
            self.fleet.tend()
            if time.monotonic() >= self._looked + _LOOK_PAUSE_S:
                self._looked = time.monotonic()
                with contextlib.suppress(UnavailableError):
                    self.fleet.look_after()
            if time.monotonic() >= until:
                return
            time.sleep(_TURN_S)


def schedule(plan: Plan, fleet: Fleet) -> Iterator[tuple[float, type[Fault], int]]:
    """Pause, kind and the fault's own seed; each kind comes once before any comes again."""
    dice = random.Random(plan.seed)
    kinds = [kind for kind in KINDS if kind.name in plan.names] if plan.names else list(KINDS)
    order: list[type[Fault]] = []
    for _ in range(plan.faults):
        if not order:
            order = dice.sample(kinds, len(kinds))
        pause_s, seed, kind = dice.uniform(0.2, 1.8) * plan.mean_pause_s, dice.getrandbits(32), order.pop()
        if kind.possible(fleet):
            yield pause_s, kind, seed


def run(plan: Plan, *, images: Path | None = None) -> Outcome:
    """One farm, one schedule, one ledger; nothing is left of it but, if something failed, its logs."""
    started = time.monotonic()
    with Fleet(
        images=images or ImagesSection().folder, builds=plan.builds, nodes=plan.nodes, database=plan.database
    ) as fleet:
        fleet.long_database_share = plan.long_database_share
        run = _Run(plan, fleet)
        try:
            fleet.wait_until_up()
            fleet.operator.command("request", "--build", "always", *fleet.projects)
            run.hurt()
            run.settle()
            found = ledger(fleet)
        except BaseException:
            _keep(run, plan)
            raise
        finally:
            run.end()
        outcome = Outcome(plan=plan, ledger=found, seconds=time.monotonic() - started, faults=run.begun, log=run.lines)
        outcome.tracebacks = tracebacks([item.log for item in fleet.programs if item.log.exists()])
        if found.faulty:
            outcome.logs = _keep(run, plan)
    return outcome


def _keep(run: _Run, plan: Plan) -> Path:
    """Copy what a person needs to find out what went wrong."""
    target = Path(tempfile.mkdtemp(prefix=f"wf-chaos-failed-{plan.database}-{plan.seed}-"))
    (target / "schedule").write_text("\n".join([repr(plan), *run.lines, ""]))
    folder = run.fleet.folder
    for path in [*folder.glob("*.log"), *folder.glob("*.toml"), *folder.glob("home/farm.sqlite*")]:
        shutil.copy(path, target)
    with contextlib.suppress(OSError):
        shutil.copytree(folder / "home" / "logs", target / "builds")
    sys.stderr.write(f"seed {plan.seed}: logs are kept in {target}\n")
    return target
