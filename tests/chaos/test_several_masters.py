"""Two masters, Redis, a node and a database, all real: one leads, the other takes over, and nothing is done twice."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url, select

from schema.db.models import Leadership
from schema.sections import ImagesSection
from tests.chaos.fleet import Fleet
from tests.chaos.ledger import ledger
from tests.chaos.machines import Machine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("image")]

BUILDS = 6
_PATIENCE_S = 90.0


@dataclass(kw_only=True)
class Pair:
    """A farm with a second master; ``one`` and ``other`` by how they began."""

    fleet: Fleet
    one: Machine
    other: Machine

    def leads(self, machine: Machine) -> bool:
        with self.fleet.reading() as session:
            holder = session.scalar(select(Leadership.holder)) or ""
        return machine.program.process is not None and holder.endswith(f":{machine.program.process.pid}")

    def wait(self, what: str, is_true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not is_true():
            logs = "\n".join(item.program.log.read_text()[-3000:] for item in (self.one, self.other))
            assert time.monotonic() < deadline, f"not yet {what}: {self.fleet.states()}\n{logs}"
            self.fleet.tend()
            self.other.program.tend()
            time.sleep(0.1)

    def request(self) -> None:
        self.fleet.operator.command("request", "--build", "always", *self.fleet.projects)

    def everything_is_done_once(self) -> None:
        self.wait("done", lambda: not self.fleet.unfinished() and self.fleet.quiet())
        assert not ledger(self.fleet).faulty


@contextmanager
def pair(database: str) -> Iterator[Pair]:
    with Fleet(images=ImagesSection().folder, builds=BUILDS, nodes=1, database=database) as fleet:
        fleet.wait_until_up()
        other = fleet.add_master("other")
        made = Pair(fleet=fleet, one=fleet.master, other=other)
        other.program.tend()
        made.wait("standing by", lambda: "standing by: " in other.program.log.read_text())
        yield made


def _freeze(pair: Pair, machine: Machine) -> None:
    """SIGSTOP, but not while it holds SQLite's one lock for writers: nobody could do anything then."""
    url = make_url(str(pair.fleet.database.url))
    while True:
        machine.program.tell(signal.SIGSTOP)
        pair.wait("stopped", lambda: _state(machine) == "T")
        if url.get_backend_name() != "sqlite":
            return
        try:
            with closing(sqlite3.connect(str(url.database), timeout=0.2, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
                return
        except sqlite3.OperationalError:
            machine.program.tell(signal.SIGCONT)
            time.sleep(0.05)


def _state(machine: Machine) -> str:
    assert machine.program.process is not None
    return Path(f"/proc/{machine.program.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_when_the_leader_is_killed_in_the_middle_of_builds_the_other_takes_over(database: str) -> None:
    with pair(database) as masters:
        masters.request()
        masters.wait("being built", lambda: "leased" in masters.fleet.states())

        masters.one.program.kill()
        masters.one.program.held = True
        masters.wait("led by the other", lambda: masters.leads(masters.other))

        masters.everything_is_done_once()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_a_leader_does_that_slept_past_its_lease_changes_nothing_and_it_may_lead_again(database: str) -> None:
    with pair(database) as masters:
        masters.request()
        masters.wait("being built", lambda: "leased" in masters.fleet.states())
        _freeze(masters, masters.one)
        masters.wait("led by the other", lambda: masters.leads(masters.other))

        masters.one.program.tell(signal.SIGCONT)
        masters.wait(
            "standing by", lambda: "standing by: " in masters.one.program.log.read_text().rpartition("leads now")[2]
        )
        masters.everything_is_done_once()

        masters.other.program.kill(signal.SIGTERM)
        masters.other.program.held = True
        masters.wait("led by the first", lambda: masters.leads(masters.one))
        masters.fleet.operator.command("rebuild", f"{masters.fleet.projects[0]}==1.0")
        masters.wait("rebuilt", lambda: masters.fleet.states().get("unneeded") == 1)
        masters.everything_is_done_once()
