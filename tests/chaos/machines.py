"""The machines of the farm under test: the settings, processes and wires that each of them has for itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from builder import build as building
from master import host_keys, redis_users
from master.enrol import enrol
from schema.attest.authority import Authority, NodeKey
from schema.db.session import transaction
from schema.names import node_name
from schema.settings import Settings, load
from tests.chaos.disk import SmallDisk
from tests.chaos.program import Program
from tests.chaos.proxy import Proxy
from tests.sshd import Sshd

LEASE_S = 6.0
_ROOT = Path(__file__).parents[2]
_OPERATOR = "chaos"


@dataclass(kw_only=True, eq=False)
class Machine:
    """One process of the farm, and its way to Redis."""

    settings_file: Path
    settings: Settings
    program: Program
    wire: Proxy


@dataclass(kw_only=True, eq=False)
class Node(Machine):
    """A node elsewhere: the master reaches its outbox by ``door`` alone, over a wire of its own.

    sshd: how its SSH server is set up; door: that server's process
    """

    sshd: Sshd
    door: Program
    ssh: Proxy
    disks: dict[str, SmallDisk]

    @property
    def name(self) -> str:
        return self.settings.node.name

    @property
    def target(self) -> str:
        """By what the master knows it."""
        return str(self.sshd.outbox("/", port=self.ssh.port).target)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all machines stand on.

    folder: of the whole farm; redis_ca: the authority of Redis's certificate
    stack: closes everything in the end
    """

    folder: Path
    images: Path
    upstream_url: str
    database_url: str
    redis_port: int
    redis_ca: Path
    stack: ExitStack

    def wire(self, port: int) -> Proxy:
        """A way of its own to a port."""
        return self.stack.enter_context(Proxy(port))

    def program(self, name: str, argv: Sequence[str | Path]) -> Program:
        """A process that ends with the farm; its log is named after it."""
        log = self.folder / f"{name}.log"
        made = Program(name=name, argv=argv, log=log, environment={"PYTHONPATH": str(_ROOT)})
        self.stack.callback(made.kill)
        return made


def master(ground: Ground, name: str, *, password: str, admin_url: str) -> Machine:
    """A master; several of them are one user of Redis, and have one home."""
    wire = ground.wire(ground.redis_port)
    (ground.folder / "admin-url").write_text(admin_url)
    _write_url(ground.folder, name, f"rediss://master:{password}@localhost:{wire.port}/0")
    more = f'admin_url_file = "admin-url"\n[database]\nurl = "{ground.database_url}"\n'
    file = _write_settings(ground, name, home="home", redis=more)
    argv: list[str | Path] = [sys.executable, "-m", "master.cli", "--settings", file, "master"]
    return Machine(settings_file=file, settings=load(file), program=ground.program(name, argv), wire=wire)


def agent(settings_file: Path) -> list[str | Path]:
    """The command of an honest node."""
    return [sys.executable, "-m", "builder.cli", "--settings", settings_file, "run"]


def liar(settings_file: Path) -> list[str | Path]:
    """The command of one that lies as CHAOS_LIE says, with all that the node of those settings has."""
    return [sys.executable, "-m", "tests.chaos.liar", settings_file]


def node(
    ground: Ground,
    name: str,
    command: Callable[[Path], Sequence[str | Path]],
    *,
    farm: Settings,
    database: Engine,
    build_uid: int,
) -> Node:
    """A node with disks, an SSH server and a user of Redis of its own, that an operator of *farm* has enrolled."""
    wire = ground.wire(ground.redis_port)
    _write_url(ground.folder, name, f"rediss://localhost:{wire.port}/0")
    more = f'[node]\nname = "{name}"\nslots = 1\nworkspace = "{name}/work"\nbuild_uid = {build_uid}\n'
    file = _write_settings(ground, name, home=name, redis=more)
    settings = load(file)
    disks = {
        f"{name}'s workspace": _disk(ground, settings.node.workspace, mebibytes=96),
        f"{name}'s outbox": _disk(ground, settings.outbox, mebibytes=8),
    }
    ground.stack.callback(building.clean, settings.node.workspace)
    sshd = Sshd(folder=ground.folder / name / "sshd", keys=farm.ssh)
    sshd.prepare()
    made = Node(
        settings_file=file,
        settings=settings,
        program=ground.program(name, command(file)),
        wire=wire,
        sshd=sshd,
        door=ground.program(f"{name}-sshd", sshd.argv()),
        ssh=ground.wire(sshd.port),
        disks=disks,
    )
    _enrol(made, farm, database)
    return made


def _enrol(made: Node, farm: Settings, database: Engine) -> None:
    """What ``wheelfarm node add``, ``node enrol`` and ``redis grant`` do."""
    name = node_name(made.name)
    key = NodeKey.create(made.settings.node_keys, name)
    outbox = made.sshd.outbox(made.settings.outbox, port=made.ssh.port)
    with transaction(database) as session:
        host_keys.pin(session, name, outbox.target, made.sshd.host_key, who=_OPERATOR)
    authority = Authority.create(farm.authority)
    key.install(
        enrol(
            database,
            authority,
            node=name,
            csr_pem=key.csr_pem(),
            platforms=farm.farm.platforms,
            outbox=outbox,
            who=_OPERATOR,
            trusted=True,  # nothing is known yet that it could be compared with
        )
    )
    with transaction(database) as session:
        granted = redis_users.grant(session, farm, name, who=_OPERATOR, host=f"localhost:{made.wire.port}")
    _write_url(made.settings_file.parent, name, granted.url)
    made.settings = load(made.settings_file)


def _disk(ground: Ground, folder: Path, *, mebibytes: int) -> SmallDisk:
    disk = SmallDisk(folder, mebibytes=mebibytes)
    ground.stack.callback(disk.close)
    return disk


def _write_url(folder: Path, name: str, url: str) -> None:
    (folder / f"{name}.redis-url").write_text(url)


def _write_settings(ground: Ground, name: str, *, home: str, redis: str) -> Path:
    """redis: what else stands in that section, and sections of its own after it"""
    file = ground.folder / f"{name}.toml"
    file.write_text(f"""
[farm]
home = "{home}"
[upstream]
index_url = "{ground.upstream_url}"
timeout_s = 3.0
[watch]
cooldown_s = 0
[keep]
free_bytes = 0
[images]
folder = "{ground.images}"
[limits]
disk_bytes = "64MiB"
[timing]
lease_s = {LEASE_S}
heartbeat_s = 0.5
tick_s = 0.1
lost_message_s = 3.0
retry_s = 1.0
[redis]
url_file = "{name}.redis-url"
ca = "{ground.redis_ca}"
{redis}
""")
    return file
