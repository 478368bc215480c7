"""Who runs the farm under test: gives commands, and does what the farm leaves to a person."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db.models import Build, Node, Project
from schema.states import BuildState, NodeState


class Operator:
    """Gives ``wheelfarm`` commands beside everything else; each may fail, as while the database is away.

    reading: opens a look at the database
    done: the commands that succeeded, by their words; suspects: nodes that are not taken back before it is clear who
    answers for them, by how many doubts there are
    """

    def __init__(
        self, settings_file: Path, *, log: Path, reading: Callable[[], AbstractContextManager[Session]]
    ) -> None:
        self.done: Counter[tuple[str, ...]] = Counter()
        self.suspects: Counter[str] = Counter()
        self._argv = [sys.executable, "-m", "master.cli", "--settings", str(settings_file)]
        self._log, self._reading = log, reading
        self._under_way: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}

    @property
    def resumed(self) -> Counter[str]:
        """How often each node was taken back."""
        return Counter({words[2]: count for words, count in self.done.items() if words[:2] == ("node", "resume")})

    @property
    def pardoned(self) -> int:
        """How many builds were tried again."""
        return sum(count * len(words[1:]) for words, count in self.done.items() if words[0] == "retry")

    @property
    def host_keys(self) -> int:
        """How many new host keys were accepted."""
        return sum(count for words, count in self.done.items() if words[:2] == ("node", "add"))

    def send(self, *words: str) -> None:
        """Begin one command, unless it is under way."""
        if words in self._under_way:
            return
        with self._log.open("ab") as log:
            self._under_way[words] = subprocess.Popen(
                [*self._argv, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def command(self, *words: str) -> None:
        """Give one command and wait for its end; it must succeed."""
        self.send(*words)
        assert self._under_way.pop(words).wait(120) == 0, self._log.read_text()[-2000:]

    def accept(self, node: str, target: str, fingerprint: str) -> None:
        """Compare the host key of a machine that was set up anew, and accept it; again, until that is done."""
        self._keys[node] = ("node", "add", node, target, "--host-key", fingerprint, "--new-host-key")

    def tend(self) -> None:
        """See which commands came back."""
        for words, process in list(self._under_way.items()):
            if process.poll() is not None:
                del self._under_way[words]
                if process.returncode == 0:
                    self.done[words] += 1
                    self._keys = {node: wanted for node, wanted in self._keys.items() if wanted != words}

    def look_after(self, nodes: Collection[str], projects: Collection[str]) -> None:
        """Take honest *nodes* back, and have those of *projects* tried again that lost two nodes.

        Raise UnavailableError while the database is away.
        """
        for words in self._keys.values():
            self.send(*words)
        with self._reading() as session:
            aside = session.scalars(
                select(Node.name).where(Node.state == NodeState.QUARANTINED, Node.name.in_(nodes))
            ).all()
            poisoned = session.execute(
                select(Build.id, Project.name).join(Build.project).where(Build.state == BuildState.POISONED)
            ).all()
        for name in aside:
            if not self.suspects[name] and name not in self._keys:
                self.send("node", "resume", name)
        # One command for all of them, and no second one beside it: on a busy machine that would lose more builds.
        again = [str(number) for number, project in poisoned if project in projects]
        if again and not any(words[0] == "retry" for words in self._under_way):
            self.send("retry", *again)

    def leave(self) -> None:
        """End what is under way."""
        for process in self._under_way.values():
            if process.poll() is None:
                process.kill()
            process.wait()
