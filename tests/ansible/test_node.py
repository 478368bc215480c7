"""``wheelfarm node add --deploy``, ``node.yml`` and ``revoke.yml`` against a bare Debian 12 of this architecture."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from schema.platforms import this_machine
from tests import remote_node
from tests.ansible import playing
from tests.hosts import host
from tests.remote_node import NODE, Deployed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root makes machines")]


@pytest.fixture(scope="module")
def node() -> Iterator[Deployed]:
    arch = this_machine()
    with (
        host("node") as machine,
        remote_node.deployed(
            machine, f"debian12-{arch}-cp311", f"node_images_from={remote_node.exported(arch)}", "node_firewall=true"
        ) as made,
    ):
        yield made


def test_it_builds_for_the_master(node: Deployed) -> None:
    node.build("six")

    (build,) = node.farm.json("builds", "--json")
    assert (build["project"], build["state"]) == ("six", "published"), node.logs()
    (told,) = node.farm.json("node", "list", "--json")
    assert (told["name"], told["state"]) == (NODE, "active")


def test_another_run_changes_nothing(node: Deployed) -> None:
    images = f"node_images_from={remote_node.exported(this_machine())}"

    again = playing.play(node.inventory, "playbooks/node.yml", "-l", NODE, "-e", images, "-e", "node_firewall=true")

    assert again.changed == 0, again.said


def test_a_dry_run_finds_nothing_to_do(node: Deployed) -> None:
    assert playing.play(node.inventory, "playbooks/node.yml", "--check").changed == 0


def test_it_lets_in_nothing_but_ssh(node: Deployed) -> None:
    server = node.machine.ssh_command("echo $$; exec python3 -m http.server --bind 0.0.0.0 8080 2>&1")
    with subprocess.Popen(server, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        number = running.stdout.readline().strip()
        try:
            listens = "grep -q ':1F90 00000000:0000 0A' /proc/net/tcp"  # port 8080
            look = f"for n in $(seq 100); do {listens} && exit; sleep 0.1; done; exit 1"
            assert node.machine.ssh(look).returncode == 0
            with pytest.raises(TimeoutError):
                _connect(node, 8080)
            assert node.machine.ssh("nft delete table inet wheelfarm").returncode == 0
            _connect(node, 8080)
        finally:
            node.machine.ssh(f"kill {number}; nft --file /etc/wheelfarm/firewall.nft")


def _connect(node: Deployed, port: int) -> None:
    with socket.create_connection((node.machine.address, port), timeout=3):
        pass


def test_no_password_is_told_and_only_root_reads_it(node: Deployed) -> None:
    url = (node.machine.root / "etc/wheelfarm/node-redis-url").read_text()

    assert url.startswith(f"rediss://node.{NODE}:")
    assert url.partition("@")[0].rpartition(":")[2] not in node.said
    assert (node.machine.root / "etc/wheelfarm/node-redis-url").stat().st_mode & 0o077 == 0
    assert (node.machine.root / f"var/lib/wheelfarm/node/{NODE}/keys").stat().st_mode & 0o077 == 0


def test_systemd_understands_its_unit(node: Deployed, tmp_path: Path) -> None:
    text = (node.machine.root / "etc/systemd/system/wheelfarm-node.service").read_text()
    here = tmp_path / "wheelfarm-node.service"  # this machine's systemd asks whether what it starts is there
    here.write_text(text.replace("=/opt/", f"={node.machine.root}/opt/"))

    verified = playing.run("systemd-analyze", "verify", "--man=no", here)

    assert [line for line in verified.stderr.splitlines() if "wheelfarm" in line] == []


def test_a_node_that_the_farm_trusts_no_more_is_out_and_keeps_no_secret(node: Deployed) -> None:
    variables = ("-e", "since=2026-01-01T00:00", "-e", "reason=stolen")

    playing.play(node.inventory, "playbooks/revoke.yml", "-l", NODE, *variables)

    (told,) = node.farm.json("node", "list", "--json")
    left = node.machine.ssh(f"ls /etc/wheelfarm /etc/ssh/wheelfarm /var/lib/wheelfarm/node/{NODE}").stdout.split()
    assert told["state"] == "revoked"
    assert not {"node-redis-url", "outbox.keys", "keys"} & set(left)


def test_whom_to_trust_no_more_must_be_one(node: Deployed) -> None:
    said = playing.fail(node.inventory, "playbooks/revoke.yml")

    assert "say which one, since when (UTC) and why" in said
