"""A master and a node that it cannot reach, both bare Debian 12: ``servers.yml``, then ``node.yml`` with a tunnel.

Neither has systemd: what the units say is started in its place, that of the tunnel as soon as the play has written it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from schema.platforms import this_machine
from tests import hosts, remote_node
from tests.ansible import playing
from tests.ansible.playing import Played, Unit
from tests.hosts import Host

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root makes machines")]

_PLATFORM = f"debian12-{this_machine()}-cp311"
_PORT = 22022
_PATIENCE_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The two machines, and how the node's play ended."""

    master: Host
    node: Host
    inventory: Path
    played: Played

    def wheelfarm(self, command: str) -> str:
        return playing.wheelfarm(self.master, command)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("tunnel")
    with hosts.host("master") as master, hosts.host("inside") as node:
        inventory = playing.inventory(
            folder / "hosts.json",
            master,
            ("redis", "master"),
            wheelfarm_public_url="http://wheels.test",
            master_settings={"farm": {"platforms": [_PLATFORM], "build": "always"}},
            node_images_from=str(remote_node.exported(this_machine())),
            node_tunnel_port=_PORT,
            node_trusted=True,
        )
        _add(inventory, node)
        playing.make_usual(master)
        playing.play(inventory, "playbooks/servers.yml")
        Unit(name="wheelfarm-master", host=master).start()
        with _tunnel(node):
            played = playing.play(inventory, "playbooks/node.yml", "-l", "inside")
            with remote_node.agent(node, folder / "agent.log"):
                yield Pair(master=master, node=node, inventory=inventory, played=played)


def _add(inventory: Path, node: Host) -> None:
    """Name the node in the inventory, too."""
    found = json.loads(inventory.read_text())
    like = found["all"]["hosts"]["farm"]
    options = like["ansible_ssh_common_args"]
    found["all"]["hosts"]["inside"] = like | {
        "ansible_host": node.address,
        "ansible_ssh_private_key_file": str(node.key),
        "ansible_ssh_common_args": re.sub(r"UserKnownHostsFile=\S+", f"UserKnownHostsFile={node.known_hosts}", options),
    }
    found["all"]["children"]["nodes"] = {"hosts": {"inside": {}}}
    inventory.write_text(json.dumps(found))


@contextmanager
def _tunnel(node: Host) -> Iterator[None]:
    """What systemd would do with the tunnel's unit, once there is one."""
    unit, over = Unit(name="wheelfarm-tunnel", host=node), threading.Event()

    def keep() -> None:
        while not unit.file.exists():
            if over.wait(0.2):
                return
        inner = f"while :; do {unit.become} {unit.value('ExecStart')}; sleep 1; done"
        node.ssh(f"setsid -f sh -c {shlex.quote(inner)} > /run/tunnel.log 2>&1 < /dev/null")

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def test_the_node_builds_through_the_tunnel(pair: Pair) -> None:
    pair.wheelfarm("request six")

    until = time.monotonic() + _PATIENCE_S
    while not (rows := json.loads(pair.wheelfarm("builds --json"))) or rows[0]["state"] != "published":
        assert time.monotonic() < until, rows
        time.sleep(2)
    assert [(row["project"], row["state"]) for row in rows] == [("six", "published")]


def test_both_see_each_other_on_their_own_loopback_addresses(pair: Pair) -> None:
    url = (pair.node.root / "etc/wheelfarm/node-redis-url").read_text()

    assert url.rpartition("@")[2].startswith("127.0.0.1:")
    assert f"sftp://wheelfarm-outbox@127.0.0.1:{_PORT}/outbox" in pair.wheelfarm("node reach inside")


def test_another_run_changes_nothing(pair: Pair) -> None:
    again = playing.play(pair.inventory, "playbooks/node.yml", "-l", "inside")

    assert again.changed == 0, again.said


@pytest.mark.parametrize(
    "wanted",
    ["-L 127.0.0.1:9999:127.0.0.1:22", "-R 127.0.0.1:22023:127.0.0.1:22", "-R 0.0.0.0:22024:127.0.0.1:22"],
)
def test_the_tunnels_key_opens_nothing_else(pair: Pair, wanted: str) -> None:
    """A port that is not the node's is refused at once; one that leads elsewhere when it is used."""
    command = Unit(name="wheelfarm-tunnel", host=pair.node).value("ExecStart")
    base = re.sub(r" -[LR] \S+", "", command)
    forward = f"timeout 20 {base.replace(' wheelfarm-tunnel@', f' {wanted} wheelfarm-tunnel@')}"
    user = "setpriv --reuid=wheelfarm-tunnel --regid=wheelfarm-tunnel --init-groups --"

    said = pair.node.ssh(
        f"{user} {forward} 2>/run/refused & sleep 3; timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/9999; head -c4 <&3'"
    )
    refused = pair.node.ssh("sleep 2; cat /run/refused").stdout

    assert "SSH-" not in said.stdout
    assert "failed" in refused or "prohibited" in refused or "Warning" in refused, refused


def test_the_tunnels_key_runs_no_command(pair: Pair) -> None:
    command = Unit(name="wheelfarm-tunnel", host=pair.node).value("ExecStart")
    shell = re.sub(r" -[LR] \S+| -N", "", command)

    said = pair.node.ssh(
        f"setpriv --reuid=wheelfarm-tunnel --regid=wheelfarm-tunnel --init-groups -- timeout 20 {shell} id"
    )

    assert said.returncode != 0
    assert "uid=" not in said.stdout
