"""A farm of several nodes as real processes, each link through a proxy of its own: everything a fault may hurt."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from builder import build as building
from master.enrol import enrol_local
from schema.db import migrate
from schema.db.models import Build, DirtyPage, Node, Project
from schema.db.session import engine, transaction
from schema.settings import Settings, load
from schema.states import BuildState
from tests.chaos import postgresql, sdists
from tests.chaos.disk import SmallDisk
from tests.chaos.program import Program
from tests.chaos.proxy import Proxy
from tests.upstream import FakeUpstream
from tests.whole_farm import free_port

LEASE_S = 6.0
LIAR = "liar"
_ROOT = Path(__file__).parents[2]


@dataclass(kw_only=True, eq=False)
class Machine:
    """What one process of the farm has for itself."""

    settings_file: Path
    settings: Settings
    program: Program
    wire: Proxy


class Fleet:
    """Redis, a master, several nodes and an upstream below one folder.

    projects: what was requested; each must be published once
    killers: projects whose build the harness answers by killing the node; they must be poisoned
    errands: commands that an operator gave, how often; caught: how often the liar was set aside
    long_database_share: how many of the times that the database is away last for up to a minute
    """

    def __init__(self, *, images: Path, builds: int, nodes: int, database: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wf-chaos-"))
        self.folder.chmod(0o755)
        self.projects = [f"tiny{number:03}" for number in range(builds)]
        self.killers: list[str] = []
        self.errands: Counter[str] = Counter()
        self.caught, self.long_database_share = 0, 1 / 6
        self.node_names = [f"node{number}" for number in range(nodes)]
        self._images, self._database_kind = images, database
        self._stack = contextlib.ExitStack()
        self._under_way: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _set_up(self) -> None:
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.upstream = self._stack.enter_context(FakeUpstream())
        self.road = self._stack.enter_context(Proxy(int(self.upstream.root.rpartition(":")[2])))
        for name in self.projects:
            self.upstream.add_file(name, sdists.tiny(name), filename=f"{name}-1.0.tar.gz")
        self._start_redis()
        self.postgresql, self.database_url = self._start_database()
        self.disks = {"store": self._disk(self.folder / "home" / "store", mebibytes=96)}
        self.master = self._machine("master", ["master.cli", "--settings"], "master")
        self.settings = self.master.settings
        self.database: Engine = engine(self.settings.database_url)
        self._stack.callback(self.database.dispose)
        migrate.upgrade(self.database)
        # A reader never waits for a writer's lock: the harness must go on while it holds that lock itself.
        self._snapshot = engine(self.settings.database_url, read_only=True)
        self._stack.callback(self._snapshot.dispose)
        self.nodes = {name: self._node(name) for name in self.node_names}
        self.liar = self._machine(LIAR, ["tests.chaos.liar"], "")
        self.liar.program.held = True
        enrol_local(self.database, self.liar.settings)
        self.tend()

    def _start_redis(self) -> None:
        port = free_port()
        program = shutil.which("redis-server") or shutil.which("valkey-server") or "redis-server"
        argv = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        self.redis = Program(name="redis", argv=[*argv, "--dir", self.folder], log=self.folder / "redis.log")
        self.redis_port = port
        self._stack.callback(self.redis.kill)
        self.redis.tend()

    def _start_database(self) -> tuple[Program | None, str]:
        if self._database_kind == "sqlite":
            return None, ""
        program, url = postgresql.server(self.folder / "pg", self.folder / "postgresql.log")
        self._stack.callback(program.kill)
        program.tend()
        deadline = time.monotonic() + 30
        while not (self.folder / "pg" / ".s.PGSQL.5432").exists():
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.1)
        return program, url

    def _disk(self, folder: Path, *, mebibytes: int) -> SmallDisk:
        disk = SmallDisk(folder, mebibytes=mebibytes)
        self._stack.callback(disk.close)
        return disk

    def _machine(self, name: str, module: list[str], word: str) -> Machine:
        wire = self._stack.enter_context(Proxy(self.redis_port))
        file = self.folder / f"{name}.toml"
        file.write_text(self._settings_text(name, wire))
        argv = [sys.executable, "-m", *module, str(file), *([word] if word else [])]
        program = Program(name=name, argv=argv, log=self.folder / f"{name}.log", environment={"PYTHONPATH": str(_ROOT)})
        self._stack.callback(program.kill)
        return Machine(settings_file=file, settings=load(file), program=program, wire=wire)

    def _node(self, name: str) -> Machine:
        work = self.folder / "work" / name
        work.parent.mkdir(exist_ok=True)
        self.disks[f"{name}'s workspace"] = self._disk(work, mebibytes=96)
        self.disks[f"{name}'s outbox"] = self._disk(self.folder / "home" / "node" / name / "outbox", mebibytes=8)
        self._stack.callback(building.clean, work)
        made = self._machine(name, ["builder.cli", "--settings"], "run")
        enrol_local(self.database, made.settings)
        return made

    def _settings_text(self, name: str, wire: Proxy) -> str:
        uid = 64600 + 4 * (self.node_names.index(name) if name in self.node_names else len(self.node_names))
        return f"""
[farm]
home = "home"
[upstream]
index_url = "http://127.0.0.1:{self.road.port}/simple/"
timeout_s = 3.0
[watch]
cooldown_s = 0
[database]
url = "{self.database_url}"
[redis]
url = "redis://127.0.0.1:{wire.port}/0"
[keep]
free_bytes = 0
[node]
name = "{name}"
slots = 1
workspace = "work/{name}"
build_uid = {uid}
[images]
folder = "{self._images}"
[limits]
disk_bytes = "64MiB"
[timing]
lease_s = {LEASE_S}
heartbeat_s = 0.5
tick_s = 0.1
lost_message_s = 3.0
retry_s = 1.0
"""

    @property
    def programs(self) -> list[Program]:
        """Every process of the farm."""
        servers = [self.redis, *([self.postgresql] if self.postgresql else [])]
        return [*servers, self.master.program, *(item.program for item in self.nodes.values()), self.liar.program]

    def tend(self) -> None:
        """Start what should run and does not; see which errands came back."""
        for program in self.programs:
            program.tend()
        for words, process in list(self._under_way.items()):
            if process.poll() is not None:
                del self._under_way[words]
                if process.returncode == 0:
                    self.errands[" ".join(words) if words[0] == "node" else words[0]] += 1

    def wait_until_up(self) -> None:
        """Until the master has heard every node."""
        deadline = time.monotonic() + 60
        while True:
            self.tend()
            with self.reading() as session:
                heard = session.scalar(select(func.count()).select_from(Node).where(Node.heard_at.is_not(None)))
            if heard == len(self.nodes):
                return
            assert time.monotonic() < deadline, "the nodes were not heard within a minute"
            time.sleep(0.2)

    def send(self, *words: str) -> None:
        """Run one ``wheelfarm`` command beside everything else, unless it is under way; it may fail."""
        if words in self._under_way:
            return
        with (self.folder / "operator.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "master.cli", "--settings", str(self.master.settings_file), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._under_way[words] = process
        self._stack.callback(_end, process)

    def command(self, *words: str) -> None:
        """Run one ``wheelfarm`` command to its end; it must succeed."""
        self.send(*words)
        process = self._under_way.pop(words)
        assert process.wait(120) == 0, (self.folder / "operator.log").read_text()[-2000:]

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A look at the database; raise UnavailableError while it is away."""
        with transaction(self._snapshot) as session:
            yield session

    def unfinished(self) -> int:
        """How many of the requested projects have no published build, and how many killers are not poisoned yet."""
        with self.reading() as session:
            ended = dict(
                session.execute(
                    select(Project.name, func.count())
                    .join(Build, Build.project_id == Project.id)
                    .where(Build.state.in_((BuildState.PUBLISHED, BuildState.POISONED)))
                    .group_by(Project.name)
                ).all()
            )
            poisoned = set(
                session.scalars(
                    select(Project.name)
                    .select_from(Build)
                    .join(Build.project)
                    .where(Build.state == BuildState.POISONED)
                )
            )
        done = sum(1 for name in self.projects if name in ended and name not in poisoned)
        return len(self.projects) - done + sum(1 for name in self.killers if name not in poisoned)

    def quiet(self) -> bool:
        """Whether every page shows what the database says."""
        with self.reading() as session:
            return not session.scalar(select(func.count()).select_from(DirtyPage))

    def states(self) -> dict[str, int]:
        """How many builds are in each state."""
        with self.reading() as session:
            return dict(session.execute(select(Build.state, func.count()).group_by(Build.state)).all())

    def look_after(self) -> None:
        """What an operator would do: take honest nodes back, and have builds tried again that lost two nodes."""
        with self.reading() as session:
            aside = session.scalars(select(Node.name).where(Node.state == "quarantined", Node.name != LIAR)).all()
            poisoned = session.execute(
                select(Build.id, Project.name).join(Build.project).where(Build.state == BuildState.POISONED)
            ).all()
        for name in aside:
            self.send("node", "resume", name)
        for number, project in poisoned:
            if project not in self.killers:
                self.send("retry", str(number))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
