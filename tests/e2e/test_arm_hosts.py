"""Two commands make a bare ARM machine a node: what it builds for a master elsewhere, pip installs on such a machine.

The machines are emulated, each with an sshd and name spaces of its own. They have no systemd: the unit's own command
is started in its place. ``make e2e-arm`` has them build all of paramiko.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy import Engine

from builder import emulation, images
from master import idle
from schema.db.session import engine, transaction
from schema.sections import ImagesSection
from schema.settings import load
from schema.states import Emulation
from tests.hosts import Host, host
from tests.redis_server import Authority, Server
from tests.whole_farm import Farm, free_port

ARM = [arch for arch in ("aarch64", "armv7l") if not emulation.is_native(arch)]
# Requirements of which each is built, whatever wheels the upstream has.
PROJECTS = os.environ.get("WHEELFARM_ARM_PROJECTS", "markupsafe").split()
_PATIENCE_S = float(os.environ.get("WHEELFARM_ARM_PATIENCE_S", "900"))
_MAKES_IMAGES = os.environ.get("WHEELFARM_ARM_IMAGES") == "made"  # itself, which takes longer than all else
_NODE = "arm"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root makes machines")]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A farm whose only node is a machine that was bare."""

    farm: Farm
    machine: Host
    platform: str


@pytest.fixture(scope="module", params=ARM)
def deployed(request: pytest.FixtureRequest) -> Iterator[Deployed]:
    emulation.enable(request.param)
    platform = f"debian12-{request.param}-cp311"
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(host(f"node-{request.param}", arch=request.param))
        farm = stack.enter_context(_master(machine, platform))
        told = farm.call(
            *("node", "add", _NODE, machine.target, "--identity", machine.key),
            *("--host-key", machine.host_key.fingerprint, "--deploy"),
            *([] if _MAKES_IMAGES else ["-e", f"node_images_from={_exported(request.param)}"]),
            timeout_s=3000,
        )
        assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-3000:]
        stack.enter_context(_agent(machine, farm.folder / "agent.log"))
        yield Deployed(farm=farm, machine=machine, platform=platform)


def _exported(arch: str) -> Path:
    """A folder with the image that a machine of *arch* would make for itself, made once here."""
    folder, name = ImagesSection().folder.parent / "exported", f"debian12-{arch}"
    folder.mkdir(parents=True, exist_ok=True)
    with images.locked(folder, name):
        if not (folder / f"{name}.tar.zst").is_file():
            made = images.make(folder / "images", name, emulated=Emulation.FULL, progress=_quiet)
            images.export(images.bare(made), folder / f"{name}.bare.tar.zst", progress=_quiet)
            images.export(made, folder / f"{name}.tar.zst", progress=_quiet)
    return folder


def _quiet(_step: str, _done: float | None) -> None:
    pass


@contextlib.contextmanager
def _master(machine: Host, platform: str) -> Iterator[Farm]:
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
            f'[farm]\nname = "test"\nhome = "home"\nbuild = "always"\nplatforms = ["{platform}"]\n'
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
def _agent(machine: Host, log: Path) -> Iterator[None]:
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


@pytest.fixture(scope="module")
def built(deployed: Deployed) -> Deployed:
    """The same, once all that was asked for has its end."""
    farm = deployed.farm
    asked = farm.call("request", *PROJECTS)
    assert asked.returncode == 0, asked.stderr
    database = engine(load(farm.settings_file).database_url, read_only=True)
    try:
        until = time.monotonic() + _PATIENCE_S
        while left := _left_to_do(database):
            assert time.monotonic() < until, left + farm.call("builds").stdout + _logs(farm)
            time.sleep(1)
    finally:
        database.dispose()
    return deployed


def _left_to_do(database: Engine) -> str:
    with transaction(database) as session:
        return idle.left_to_do(session)


def _logs(farm: Farm) -> str:
    return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(farm.folder.glob("*.log")))


def test_the_machine_tells_that_it_builds_for_itself(built: Deployed) -> None:
    (node,) = built.farm.json("node", "list", "--json")

    assert (node["name"], node["platforms"], node["emulated"]) == (_NODE, [built.platform], [])


@pytest.mark.parametrize("project", [canonicalize_name(Requirement(text).name) for text in PROJECTS])
def test_what_was_asked_for_is_built_there_and_published(project: str, built: Deployed) -> None:
    (build,) = (row for row in built.farm.json("builds", "--json") if row["project"] == project)

    assert build["state"] == "published", built.farm.call("log", build["id"]).stdout[-3000:]


def test_pip_installs_wheels_from_the_view_alone_in_a_clean_machine_and_they_are_imported(built: Deployed) -> None:
    view = built.platform.rpartition("-")[0]
    names = [canonicalize_name(Requirement(text).name) for text in PROJECTS]
    index = f"http://{built.machine.gateway}:{built.farm.port}/{view}/simple/"
    with host("clean", arch=view.partition("-")[2]) as clean:
        pip = f"/environment/bin/pip install --only-binary :all: --trusted-host {built.machine.gateway}"
        for command in (
            "apt-get -qq update && apt-get -qq install --no-install-recommends python3-venv",
            "python3 -m venv /environment",
            f"{pip} --index-url {index} {' '.join(names)}",
            f"/environment/bin/python -c 'import {', '.join(name.replace('-', '_') for name in names)}'",
        ):
            done = clean.ssh(command, timeout_s=1800)
            assert done.returncode == 0, done.stdout + done.stderr
