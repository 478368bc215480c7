"""``make crash-points TIMES=…``: kill the master at each named point, see how soon the farm is right again."""
# ruff: noqa: T201 - this is a command: it prints its answer

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from packaging.requirements import Requirement

from master import crash, requests
from schema import outbox
from schema.db.session import transaction
from schema.sections import ImagesSection
from schema.states import BuildPolicy
from tests.chaos import sdists
from tests.chaos.fleet import Fleet
from tests.chaos.ledger import ledger

_LOOK_PAUSE_S = 0.05
_SETTLE_S = 120.0


@dataclass(slots=True, kw_only=True)
class Row:
    """What came of a point.

    recoveries: seconds from each restart until everything was right; faulty: what was wrong after the last, if anything
    """

    point: str
    recoveries: list[float] = field(default_factory=list)
    faulty: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line of the table."""
        verdict = str(self.faulty) if self.faulty else "yes"
        return f"{self.point:<22}{len(self.recoveries):>6}  {verdict:<12}{max(self.recoveries):>8.1f} s"


@contextmanager
def quiet_farm(*, database: str = "sqlite") -> Iterator[Fleet]:
    """A farm of one node that has nothing to do."""
    with Fleet(images=ImagesSection().folder, builds=0, nodes=1, database=database) as fleet:
        fleet.wait_until_up()
        yield fleet


def crash_at(fleet: Fleet, point: str, *, times: int) -> Row:
    """Have the master die there *times* times, each time with a new project on its way."""
    row = Row(point=point)
    for _ in range(times):
        _die(fleet, point)
        started = time.monotonic()
        _wait(fleet, f"settled after a crash at {point}", lambda: _is_settled(fleet))
        # What a write left behind that was cut off goes when the master has nothing else to do.
        _wait(fleet, f"right after a crash at {point}", lambda: not ledger(fleet).faulty)
        row.recoveries.append(time.monotonic() - started)
    row.faulty = ledger(fleet).faulty
    return row


def _die(fleet: Fleet, point: str) -> None:
    """Start the master so that it dies at *point*, give it something to do, and bring it back once it is dead."""
    program = fleet.master.program
    program.kill()
    name = f"tiny{len(fleet.projects):04}"
    fleet.projects.append(name)
    fleet.upstream.add_file(name, sdists.tiny(name), filename=f"{name}-1.0.tar.gz")
    with transaction(fleet.database) as session:
        requests.add(
            session, Requirement(name), farm_platforms=fleet.settings.farm.platforms, policy=BuildPolicy.ALWAYS
        )
    unarmed = dict(program.environment)
    program.environment = {**unarmed, "WHEELFARM_CRASH_AT": point}
    starts = program.starts
    _wait(fleet, "started", lambda: program.starts > starts)
    program.held = True
    _wait(fleet, f"dead at {point}", lambda: not program.running)
    program.tend()
    assert program.fell.pop() == -signal.SIGKILL
    program.environment, program.held = unarmed, False
    _wait(fleet, "started again", lambda: program.running)


def _is_settled(fleet: Fleet) -> bool:
    """Every build has ended, every page is written, and the node was told to forget what was taken."""
    outboxes = (machine.settings.outbox for machine in fleet.nodes.values())
    return not fleet.unfinished() and fleet.quiet() and not any(map(outbox.entries, outboxes))


def _wait(fleet: Fleet, what: str, is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SETTLE_S
    while not is_true():
        assert time.monotonic() < deadline, (
            f"not {what}: {fleet.states()}\n{fleet.master.program.log.read_text()[-3000:]}"
        )
        fleet.tend()
        time.sleep(_LOOK_PAUSE_S)


def main() -> int:
    """Print the table; 1 if anything in it is not right."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is stopped
    options = _options()
    points: Sequence[str] = options.point or crash.POINTS
    rows = []
    print(f"{'point':<22}{'kills':>6}  {'consistent':<12}{'slowest':>10}", flush=True)
    for start in range(0, len(points), options.points_each):
        with quiet_farm(database=options.database) as fleet:
            for point in points[start : start + options.points_each]:
                rows.append(crash_at(fleet, point, times=options.times))
                print(rows[-1], flush=True)
    kills = [seconds for row in rows for seconds in row.recoveries]
    mean_s = sum(kills) / len(kills)
    print(f"{len(rows)} points, {len(kills)} kills; recovery: {mean_s:.1f} s on average, {max(kills):.1f} s at most")
    return 1 if any(row.faulty for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash-points", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="kills at each point")
    parser.add_argument("--points-each", type=int, default=6, help="a new farm after so many points")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--point", action="append", default=[], choices=crash.POINTS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
