"""A farm whose only node is a machine of its own: made of a bare host by ``wheelfarm node add --deploy``.

The hosts have no systemd: what their unit says is started in its place.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from builder import emulation, images
from master import idle
from schema.db.session import engine, transaction
from schema.sections import ImagesSection
from schema.settings import load
from schema.states import Emulation
from tests.hosts import Host
from tests.redis_server import Authority, Server
from tests.whole_farm import Farm, free_port

NODE = "remote"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """inventory: what ``node add`` has written; said: what it, and ansible, have said"""

    farm: Farm
    machine: Host
    platform: str
    said: str

    @property
    def inventory(self) -> Path:
        return self.farm.folder / "home" / "ansible" / f"{NODE}.json"

    def build(self, *projects: str, patience_s: float = 900) -> None:
        """Have projects built, whatever wheels the upstream has, and wait until each has its end."""
        asked = self.farm.call("request", "--build", "always", *projects)
        assert asked.returncode == 0, asked.stderr
        database = engine(load(self.farm.settings_file).database_url, read_only=True)
        try:
            until = time.monotonic() + patience_s
            while left := _left_to_do(database):
                assert time.monotonic() < until, left + self.farm.call("builds").stdout + self.logs()
                time.sleep(1)
        finally:
            database.dispose()

    def logs(self) -> str:
        files = sorted(self.farm.folder.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in files)


@contextlib.contextmanager
def deployed(machine: Host, platform: str, *variables: str) -> Iterator[Deployed]:
    """*machine*, which was bare, as the node of a new farm; *variables*: of the role, each ``NAME=VALUE``."""
    with contextlib.ExitStack() as stack:
        farm = stack.enter_context(master(machine, platform))
        told = farm.call(
            *("node", "add", NODE, machine.target, "--identity", machine.key),
            *("--host-key", machine.host_key.fingerprint, "--deploy"),
            *(word for text in variables for word in ("-e", text)),
            timeout_s=14400,
        )
        assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-3000:]
        stack.enter_context(agent(machine, farm.folder / "agent.log"))
        yield Deployed(farm=farm, machine=machine, platform=platform, said=told.stdout)


def _left_to_do(database: Engine) -> str:
    with transaction(database) as session:
        return idle.left_to_do(session)


def exported(arch: str) -> Path:
    """A folder with the image that a machine of *arch* would make for itself, made once here."""
    shared = ImagesSection().folder
    folder, name = shared.parent / "exported", f"debian12-{arch}"
    folder.mkdir(parents=True, exist_ok=True)
    with images.locked(folder, name):
        if not (folder / f"{name}.tar.zst").is_file():
            into = shared if emulation.is_native(arch) else folder / "images"
            made = images.make(into, name, emulated=Emulation.FULL, progress=_quiet)
            images.export(images.bare(made), folder / f"{name}.bare.tar.zst", progress=_quiet)
            images.export(made, folder / f"{name}.tar.zst", progress=_quiet)
    return folder


def _quiet(_step: str, _done: float | None) -> None:
    pass


@contextlib.contextmanager
def master(machine: Host, platform: str) -> Iterator[Farm]:
    """A farm without nodes: Redis over TLS, master and front-end, where *machine* can reach them."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="wf-farm-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        authority = Authority(folder / "redis")
        redis = stack.enter_context(
            Server(
                program=Path(shutil.which("redis-server") or "redis-server"),
                folder=folder / "redis",
                authority=authority,
                held=authority.issue(machine.gateway),
                address=machine.gateway,
            )
        )
        farm = Farm(folder=folder, port=free_port())
        (folder / "admin-url").write_text(redis.url("admin", redis.password, host=machine.gateway))
        (folder / "redis-url").write_text(f"rediss://{machine.gateway}:{redis.port}/0")
        farm.settings_file.write_text(
            f'[farm]\nname = "test"\nhome = "home"\nplatforms = ["{platform}"]\n'
            f'[web]\nhost = "{machine.gateway}"\nport = {farm.port}\n'
            f'[redis]\nurl_file = "redis-url"\nca = "{authority.file}"\nadmin_url_file = "admin-url"\n'
            '[node]\nworkspace = "work"\n'
        )
        farm.json("migrate", "--json")
        (folder / "redis-url").write_text(farm.json("redis", "grant-master", "--json")["url"])
        for part in ("master", "web"):
            stack.enter_context(_running(farm.command(part), folder / f"{part}.log"))
        yield farm


@contextlib.contextmanager
def agent(machine: Host, log: Path) -> Iterator[None]:
    """What systemd would start there, as its unit says."""
    unit = machine.ssh("cat /etc/systemd/system/wheelfarm-node.service").stdout
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    with _running(machine.ssh_command(command), log):
        yield


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("ab") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
