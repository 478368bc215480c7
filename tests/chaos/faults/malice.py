"""A node that lies, and a job that takes every node down that it meets."""

from __future__ import annotations

import time

from sqlalchemy import select

from schema.db.models import Attempt, Build, Node, Project
from schema.errors import UnavailableError
from schema.states import AttemptOutcome, BuildState
from tests.chaos import sdists
from tests.chaos.faults.fault import Fault
from tests.chaos.fleet import LIAR
from tests.chaos.liar import LIES


class Lie(Fault):
    """One more node joins, and its results are not what they say; the operator takes it back for the next lie."""

    name, promises, lasts = "lying node", "R11", (10.0, 10.0)

    def begin(self) -> str:
        lie = self.dice.choice(sorted(LIES))
        program = self.fleet.liar.program
        program.kill()
        program.environment = {**program.environment, "CHAOS_LIE": lie}
        program.held = False
        self._resumed = False
        return lie

    def tick(self) -> bool:
        try:
            with self.fleet.reading() as session:
                row = session.get(Node, LIAR)
                aside = row is not None and row.state == "quarantined"
        except UnavailableError:
            return super().tick()
        if not self._resumed and aside:
            self.fleet.operator.send("node", "resume", LIAR)
        elif not self._resumed:
            self._resumed = True
        elif aside:
            self.fleet.caught += 1
            return True
        return super().tick()

    def end(self) -> None:
        self.fleet.liar.program.held = True
        self.fleet.liar.program.kill()


class KillerJob(Fault):
    """Each node that begins this build dies; after two of them the build is poisoned."""

    name, promises = "job that kills nodes", "R12"
    _PATIENCE_S = 120.0

    def begin(self) -> str:
        self.project = f"killer{len(self.fleet.killers)}"
        self.fleet.killers.append(self.project)
        data = sdists.tiny(self.project, sleep_s=30)
        self.fleet.upstream.add_file(self.project, data, filename=f"{self.project}-1.0.tar.gz")
        self._asked = False
        self._until = time.monotonic() + self._PATIENCE_S
        return self.project

    def tick(self) -> bool:
        try:
            with self.fleet.reading() as session:
                wanted = session.scalar(select(Project.id).where(Project.name == self.project))
                state = session.scalar(select(Build.state).where(Build.project_id == wanted))
                running = session.execute(
                    select(Attempt.node, Attempt.steps)
                    .join(Attempt.build)
                    .where(Build.project_id == wanted, Attempt.outcome == AttemptOutcome.RUNNING)
                    .where(Build.state == BuildState.LEASED, Attempt.fence == Build.fence)
                ).all()
        except UnavailableError:
            return super().tick()
        if wanted is None:
            self.fleet.operator.send("request", "--build", "always", self.project)
        if state in {None, BuildState.QUEUED}:  # whatever else waits may be given out first
            self._until = time.monotonic() + self._PATIENCE_S
        for node, steps in running:
            if steps and node in self.fleet.nodes:
                self.fleet.nodes[node].program.kill()
        return state == BuildState.POISONED or super().tick()
