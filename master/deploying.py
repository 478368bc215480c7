"""Have ansible make a machine a node of this farm: an inventory of the two machines, and the command that uses it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from master.ssh import HostKey
from master.store import write_atomically
from master.targets import SSH_PORT, Target
from schema import redis_url
from schema.errors import SettingsError, ToolMissingError, UsageError
from schema.names import NodeName
from schema.platforms import Platform
from schema.printable import one_line
from schema.settings import Settings

_PROGRAM = "ansible-playbook"
_SHIPPED = Path(__file__).parent / "ansible"
_STDERR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNode:
    """A machine that shall be a node.

    host_key: the one that a person accepted; key_file: the private key of ours that it lets in
    platforms: what it shall build for
    """

    name: NodeName
    target: Target
    host_key: HostKey
    key_file: Path
    platforms: tuple[Platform, ...]


def check(settings: Settings) -> None:
    """Raise SettingsError if a node on another machine could not reach this farm's Redis."""
    if not settings.redis_url.startswith(redis_url.TLS):
        raise SettingsError(
            f"nodes on other machines cannot reach this farm's Redis ({redis_url.address(settings.redis_url)})",
            advice="set one up with TLS and name it in redis.url: docs/how-to/redis-for-remote-nodes.md",
        )


def command(inventory: Path, node: NodeName, variables: Sequence[str] = ()) -> list[str]:
    """What makes *node* of that inventory one, from any folder; variables: of its role, each ``NAME=VALUE``."""
    program = _program() or _PROGRAM
    given = [word for text in variables for word in ("-e", text)]
    told = [f"ANSIBLE_CONFIG={tree() / 'ansible.cfg'}", program, "-i", str(inventory.resolve())]
    return ["env", *told, str(tree() / "playbooks" / "node.yml"), "-l", node, *given]


def run(command: Sequence[str], node: NodeName, *, only_stderr: bool = False) -> int:
    """Run it, what it says goes where ours does; its exit code.

    only_stderr: stdout is for something else
    Raise ToolMissingError where there is no ansible, UsageError for an inventory that does not name *node* as one.
    """
    if _program() is None:
        raise ToolMissingError(
            f"{_PROGRAM} is not installed", advice=f"{sys.executable} -m pip install 'wheelfarm[deploy]'"
        )
    # Where nothing fits, ansible does nothing and is content.
    hosts = subprocess.run([*command, "--list-hosts"], capture_output=True, text=True, check=False)
    if node not in map(str.strip, hosts.stdout.splitlines()):
        why = one_line(hosts.stderr) or "put it there"
        raise UsageError(f"the inventory has no host {node} in its group nodes", advice=why)
    return subprocess.run(command, stdout=_STDERR if only_stderr else None, check=False).returncode


def _program() -> str | None:
    """``ansible-playbook``, beside our own interpreter or on PATH."""
    return shutil.which(_PROGRAM, path=str(Path(sys.executable).parent)) or shutil.which(_PROGRAM)


def tree() -> Path:
    """The ansible files: beside this module in an installed farm, at the top of a checkout."""
    return _SHIPPED if _SHIPPED.is_dir() else Path(__file__).parents[1] / "ansible"


def write_inventory(settings: Settings, settings_file: Path | None, node: NewNode) -> Path:
    """Write, below ``farm.home``, an inventory of this master and of *node*; nothing secret is in it.

    settings_file: the master's; None where it runs with the defaults
    Raise SettingsError where it cannot be written.
    """
    folder = settings.farm.home.resolve() / "ansible"
    known_hosts = folder / f"{node.name}.known_hosts"
    own = ["--settings", str(settings_file.resolve())] if settings_file else []
    master = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,  # its commands are for whoever runs the farm
    }
    machine = {
        "ansible_host": node.target.host,
        "ansible_port": node.target.port,
        "ansible_user": node.target.user,
        "ansible_ssh_private_key_file": str(node.key_file.resolve()),
        # The key that a person accepted, and no other, whatever this machine's own files know.
        "ansible_ssh_common_args": _options(
            IdentitiesOnly="yes",
            StrictHostKeyChecking="yes",
            UserKnownHostsFile=str(known_hosts),
            GlobalKnownHostsFile="/dev/null",
        ),
        "node_master_command": [sys.executable, "-P", "-m", "master.cli", *own],
        "node_master_redis_ca": str(settings.redis.ca or ""),
        "node_platforms": sorted(map(str, node.platforms)),
        **_source(),
    }
    groups = {"master": {"hosts": {"this-master": master}}, "nodes": {"hosts": {node.name: machine}}}
    file = folder / f"{node.name}.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(known_hosts, f"{_place(node.target)} {node.host_key}\n".encode())
        write_atomically(file, json.dumps({"all": {"children": groups}}, indent=1).encode() + b"\n")
    except OSError as err:
        raise SettingsError(f"{folder} cannot be written to: {err.strerror}") from err
    return file


def _source() -> dict[str, str]:
    """What is installed there: this checkout, or the same release as here."""
    return {"wheelfarm_source": f"wheelfarm=={version('wheelfarm')}"} if _SHIPPED.is_dir() else {}


def _place(target: Target) -> str:
    """As ``known_hosts`` spells it."""
    return target.host if target.port == SSH_PORT else f"[{target.host}]:{target.port}"


def _options(**options: str) -> str:
    return " ".join(f"-o {name}={_quoted(value)}" for name, value in options.items())


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
