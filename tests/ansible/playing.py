"""Ansible as an operator calls it, and the units that its roles write: started by their own command lines."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.hosts import Host

NAME = "wheels.test"
TREE = Path(__file__).parents[2] / "ansible"
# A command of the farm, as its user, on a host that was set up
WHEELFARM = "runuser -u wheelfarm -- /opt/wheelfarm/venv/bin/wheelfarm --settings /etc/wheelfarm/farm.toml"
_RECAP = re.compile(r"^\S+ +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


def run(program: str, *arguments: object, timeout_s: float = 1800) -> subprocess.CompletedProcess[str]:
    """One of Ansible's programs, in its tree, with the environment of these tests before all others."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = {"PATH": path, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": f"{TREE}/ansible.cfg"}
    return subprocess.run(
        [program, *map(str, arguments)],
        cwd=TREE,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )


@dataclass(frozen=True, kw_only=True)
class Played:
    """How a playbook ended; changed: tasks of all hosts that changed something."""

    said: str
    changed: int


def play(inventory: Path, playbook: Path | str, *arguments: object) -> Played:
    """Run *playbook* against *inventory*; fail where a host does."""
    done = run("ansible-playbook", "-i", inventory, playbook, *arguments)
    said = done.stdout + done.stderr
    recap = _RECAP.findall(said)
    assert done.returncode == 0, said
    assert recap, said
    return Played(said=said, changed=sum(int(changed) for changed, _, _ in recap))


def fail(inventory: Path, playbook: Path | str, *arguments: object) -> str:
    """What *playbook* says when it ends with a host that failed, as it must."""
    done = run("ansible-playbook", "-i", inventory, playbook, *arguments)
    said = done.stdout + done.stderr
    recap = _RECAP.findall(said)
    assert any(int(failed) for _, _, failed in recap), said
    return said


def inventory(file: Path, host: Host, groups: tuple[str, ...], **variables: Any) -> Path:
    """Write an inventory of *host* as ``farm``, which is in all of *groups*."""
    options = f"-o UserKnownHostsFile={host.known_hosts} -o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes"
    farm = {
        "ansible_host": host.address,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(host.key),
        "ansible_ssh_common_args": options,
    }
    children: dict[str, Any] = {"nodes": {}} | {group: {"hosts": {"farm": {}}} for group in groups}
    all_ = {"hosts": {"farm": farm}, "children": children, "vars": variables}
    file.write_text(json.dumps({"all": all_}))  # JSON is YAML
    return file


def make_usual(host: Host) -> None:
    """Bring a bare host to what Debian's own installer leaves behind, where packages' scripts rely on it.

    Services are not started by their packages (policy-rc.d), since this is no machine that boots.
    """
    (host.root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (host.root / "usr/sbin/policy-rc.d").chmod(0o755)
    done = host.ssh(
        "pwconv && grpconv && echo 127.0.1.1 $(hostname) >> /etc/hosts && export DEBIAN_FRONTEND=noninteractive"
        " && pam-auth-update --package --force && apt-get update -qq && apt-get install -qq -y --reinstall ucf"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def get(host: Host, path: str, *, authority: Path, scheme: str = "https", **headers: str) -> urllib3.BaseHTTPResponse:
    """What nginx on *host* answers for NAME, whose certificate is of *authority*; nothing is followed or unpacked."""
    asked = {"Host": NAME} | {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib3.PoolManager(ca_certs=str(authority), server_hostname=NAME, assert_hostname=NAME) as pool:
        url = f"{scheme}://{host.address}{path}"
        return pool.request("GET", url, headers=asked, redirect=False, retries=False, decode_content=False)


def wheelfarm(host: Host, command: str) -> str:
    """What a command of the farm says there."""
    done = host.ssh(f"cd /; {WHEELFARM} {command}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What a unit's file says, as systemd would do it, without what only systemd can do."""

    name: str
    host: Host

    def value(self, key: str) -> str:
        found = re.findall(rf"^{key}=(.*)$", self.file.read_text(), re.MULTILINE)
        assert len(found) == 1, f"{key} in {self.file}"
        return str(found[0])

    @property
    def file(self) -> Path:
        return self.host.root / f"etc/systemd/system/{self.name}.service"

    @property
    def become(self) -> str:
        """What runs a command as its user; "" for root."""
        if "\nUser=" not in self.file.read_text():
            return ""
        user = self.value("User")
        return f"setpriv --reuid={user} --regid={user} --init-groups --"

    @property
    def command(self) -> str:
        return f"umask {self.value('UMask')}; cd /; exec {self.become} {self.value('ExecStart')}"

    def start(self) -> None:
        """Its process is known by ``/run/NAME.pid`` there, and what it says by ``/run/NAME.log``."""
        inner = f"echo $$ > /run/{self.name}.pid; {self.command}"
        log = f"/run/{self.name}.log"
        started = self.host.ssh(f"setsid -f sh -c {shlex.quote(inner)} > {log} 2>&1 < /dev/null")
        assert started.returncode == 0, started.stderr

    def stop(self) -> None:
        self.host.ssh(f"kill $(cat /run/{self.name}.pid)")

    def log(self) -> str:
        return self.host.ssh(f"cat /run/{self.name}.log").stdout
