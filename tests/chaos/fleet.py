"""A farm of several nodes as real processes, each link through a proxy of its own: everything a fault may hurt."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from master import redis_acl
from schema import wire
from schema.db import migrate
from schema.db.models import Build, DirtyPage, Project
from schema.db.models import Node as NodeRow
from schema.db.session import engine, transaction
from schema.redis_url import Tls
from schema.states import OPEN_STATES, BuildState
from tests.chaos import machines, postgresql, sdists
from tests.chaos.disk import SmallDisk
from tests.chaos.machines import Ground, Machine, Node
from tests.chaos.operator import Operator
from tests.chaos.program import Program
from tests.chaos.proxy import Proxy
from tests.redis_server import Authority, Server
from tests.upstream import FakeUpstream

LIAR = "liar"
_FIRST_UID = 64600
_UIDS_EACH = 4
_ADMIN_TIMEOUT_S = 1.0  # it may be frozen, and the harness is who thaws it


class Fleet:
    """Redis, a master, several nodes and an upstream below one folder; nodes are reached over TLS and SSH alone.

    projects: what was requested; each must be published once
    killers: projects whose build the harness answers by killing the node; they must be poisoned
    caught: how often a liar was set aside
    trespasses: what somebody was let do who must not: commands of a node in Redis, logins at a stranger's SSH server
    refused: commands of a node that Redis refused
    long_database_share: how many of the times that the database is away last for up to a minute
    """

    def __init__(self, *, images: Path, builds: int, nodes: int, database: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wf-chaos-"))
        self.folder.chmod(0o755)
        self.projects = [f"tiny{number:03}" for number in range(builds)]
        self.killers: list[str] = []
        self.caught, self.trespasses, self.refused, self.long_database_share = 0, 0, 0, 1 / 6
        self.node_names = [f"node{number}" for number in range(nodes)]
        self._images, self._database_kind = images, database
        self._stack = contextlib.ExitStack()

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
        for name in self.projects:
            self.upstream.add_file(name, sdists.tiny(name), filename=f"{name}-1.0.tar.gz")
        self.road = self._stack.enter_context(Proxy(int(self.upstream.root.rpartition(":")[2])))
        self._authority = Authority(self.folder / "tls")
        self._start_redis()
        self.postgresql, database_url = self._start_database()
        self.disks = {"store": SmallDisk(self.folder / "home" / "store", mebibytes=96)}
        self._stack.callback(self.disks["store"].close)
        self._ground = Ground(
            folder=self.folder,
            images=self._images,
            upstream_url=f"http://127.0.0.1:{self.road.port}/simple/",
            database_url=database_url,
            redis_port=self._server.port,
            redis_ca=self._authority.file,
            stack=self._stack,
        )
        self.master = self.add_master("master")
        self.settings = self.master.settings
        self.database: Engine = engine(self.settings.database_url)
        self._stack.callback(self.database.dispose)
        migrate.upgrade(self.database)
        # A reader never waits for a writer's lock: the harness must go on while it holds that lock itself.
        self._snapshot = engine(self.settings.database_url, read_only=True)
        self._stack.callback(self._snapshot.dispose)
        log = self.folder / "operator.log"
        self.operator = Operator(self.master.settings_file, log=log, reading=self.reading)
        self._stack.callback(self.operator.leave)
        self.nodes = {name: self._node(name, machines.agent) for name in self.node_names}
        self.liar = self._node(LIAR, machines.liar)
        self.liar.program.held = True
        for node in self.nodes.values():
            self.disks |= node.disks
        self.tend()

    def _start_redis(self) -> None:
        program = Path(shutil.which("redis-server") or shutil.which("valkey-server") or "redis-server")
        folder, authority = self.folder / "redis", self._authority
        self._server = Server(program=program, folder=folder, authority=authority, held=authority.issue())
        self._password = secrets.token_urlsafe()
        rules = redis_acl.master_rules(redis_acl.digest(self._password))
        with self._server.users.open("a") as users:
            users.write(redis_acl.line(wire.user(wire.MASTER_QUEUE), rules) + "\n")
        self.redis = Program(name="redis", argv=self._server.argv(), log=self.folder / "redis.log")
        self._stack.callback(self.redis.kill)
        self.redis.tend()
        self._server.wait()

    def _start_database(self) -> tuple[Program | None, str]:
        if self._database_kind == "sqlite":
            return None, ""
        program, url = postgresql.server(self.folder / "pg", self.folder / "postgresql.log")
        self._stack.callback(program.kill)
        program.tend()
        postgresql.await_start(self.folder / "pg")
        return program, url

    def add_master(self, name: str) -> Machine:
        """A master that may run; it is not tended."""
        admin_url = self._server.url("admin", self._server.password)
        return machines.master(self._ground, name, password=self._password, admin_url=admin_url)

    def _node(self, name: str, command: Callable[[Path], Sequence[str | Path]]) -> Node:
        number = [*self.node_names, LIAR].index(name)
        return machines.node(
            self._ground,
            name,
            command,
            farm=self.settings,
            database=self.database,
            build_uid=_FIRST_UID + _UIDS_EACH * number,
        )

    @property
    def programs(self) -> list[Program]:
        """Every process of the farm."""
        servers = [self.redis, *([self.postgresql] if self.postgresql else [])]
        nodes = [program for node in (*self.nodes.values(), self.liar) for program in (node.program, node.door)]
        return [*servers, self.master.program, *nodes]

    @property
    def redis_tls(self) -> Tls:
        """How Redis is spoken to."""
        return Tls(ca=self._authority.file)

    def redis_url(self, user: str = "admin", password: str = "") -> str:
        """Redis without a proxy; by default as its administrator, who may do everything."""
        return self._server.url(user, password or self._server.password)

    def redis_client(self) -> contextlib.AbstractContextManager[Any]:
        """Redis as its administrator; it may be away, and it may be silent."""
        return self._server.administrator(timeout_s=_ADMIN_TIMEOUT_S)

    def tend(self) -> None:
        """Start what should run and does not; see which commands came back."""
        for program in self.programs:
            program.tend()
        self.operator.tend()

    def wait_until_up(self) -> None:
        """Until the master has heard every node."""
        deadline = time.monotonic() + 60
        while True:
            self.tend()
            with self.reading() as session:
                heard = session.scalar(select(func.count()).select_from(NodeRow).where(NodeRow.heard_at.is_not(None)))
            if heard == len(self.nodes):
                return
            assert time.monotonic() < deadline, "the nodes were not heard within a minute"
            time.sleep(0.2)

    def look_after(self) -> None:
        """What an operator would do; raise UnavailableError while the database is away."""
        self.operator.look_after(self.nodes, self.projects)

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

    def open_builds(self) -> dict[int, str]:
        """What is not done yet, with the reason of its state."""
        with self.reading() as session:
            rows = session.execute(
                select(Build.id, Build.state, Build.reason).where(Build.state.in_(OPEN_STATES)).limit(5)
            ).all()
        return {number: f"{state}: {reason}" for number, state, reason in rows}
