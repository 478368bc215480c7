"""``wheelfarm node add``, against a real sshd on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schema.attest.authority import NodeKey
from schema.db.models import HostKey, Node
from schema.db.session import engine, transaction
from schema.names import NodeName
from schema.settings import Settings
from tests import rows
from tests.master.cli.conftest import Call
from tests.sshd import Sshd


@pytest.fixture
def sshd(tmp_path: Path, settings: Settings) -> Iterator[Sshd]:
    with Sshd(folder=tmp_path / "sshd", keys=settings.ssh) as server:
        yield server


def _pinned(settings: Settings) -> dict[str, str]:
    database = engine(settings.database_url)
    with transaction(database) as session:
        found = {row.node: row.key for row in session.query(HostKey)}
        assert session.query(Node).count() == 0
    database.dispose()
    return found


def test_a_machine_is_shown_judged_and_pinned_and_the_next_command_is_told(
    wheelfarm: Call, settings: Settings, sshd: Sshd
) -> None:
    called = wheelfarm("node", "add", "pi4", sshd.target, "--yes")

    assert called.code == 0, called.err
    assert f"127.0.0.1:{sshd.port} shows this host key (ssh-ed25519): {sshd.host_key.fingerprint}" in called.err
    assert "the farm's own key: ssh-ed25519 " in called.err
    assert "userland" in called.out
    inventory = settings.farm.home / "ansible" / "pi4.json"
    assert "next:\n  env ANSIBLE_CONFIG=" in called.out
    assert f"ansible-playbook -i {inventory} " in called.out
    assert called.out.endswith("playbooks/node.yml -l pi4\n")
    assert _pinned(settings) == {"pi4": str(sshd.host_key)}


def test_it_answers_in_json(wheelfarm: Call, sshd: Sshd) -> None:
    found = wheelfarm("node", "add", "pi4", sshd.target, "--yes", "--json").json

    assert (found["node"], found["target"]) == ("pi4", str(sshd.target))
    assert found["host_key"] == sshd.host_key.fingerprint
    assert found["facts"]["system"] == "Linux"
    assert isinstance(found["lacks"], list)


def test_without_anybody_to_compare_the_key_nothing_is_noted(wheelfarm: Call, settings: Settings, sshd: Sshd) -> None:
    called = wheelfarm("node", "add", "pi4", sshd.target)

    assert called.code == 2
    assert f"--host-key {sshd.host_key.fingerprint}, or --yes" in called.err
    assert _pinned(settings) == {}


def test_a_fingerprint_that_was_given_must_be_the_one_that_is_shown(
    wheelfarm: Call, settings: Settings, sshd: Sshd
) -> None:
    wrong = wheelfarm("node", "add", "pi4", sshd.target, "--host-key", "SHA256:abc")
    assert (wrong.code, _pinned(settings)) == (1, {})
    assert f"shows the host key {sshd.host_key.fingerprint}, not SHA256:abc" in wrong.err

    right = wheelfarm("node", "add", "pi4", sshd.target, "--host-key", sshd.host_key.fingerprint)

    assert right.code == 0, right.err
    assert _pinned(settings) == {"pi4": str(sshd.host_key)}


def test_another_host_key_stops_it_until_it_is_accepted_on_purpose(
    wheelfarm: Call, settings: Settings, sshd: Sshd
) -> None:
    wheelfarm("node", "add", "pi4", sshd.target, "--yes")
    first = sshd.host_key
    sshd.stop()
    sshd.new_host_key()
    sshd.start()

    refused = wheelfarm("node", "add", "pi4", sshd.target, "--yes")

    assert refused.code == 1
    assert first.fingerprint in refused.err
    assert "--new-host-key" in refused.err
    assert _pinned(settings) == {"pi4": str(first)}
    assert wheelfarm("node", "add", "pi4", sshd.target, "--yes", "--new-host-key").code == 0
    assert _pinned(settings) == {"pi4": str(sshd.host_key)}
    newest = wheelfarm("audit", "--json").json[0]
    assert (newest["before"]["key"], newest["after"]["key"]) == (str(first), str(sshd.host_key))


def test_a_machine_that_does_not_let_the_farm_in_yet_is_pinned_and_the_remedy_told(
    wheelfarm: Call, settings: Settings, sshd: Sshd
) -> None:
    (sshd.folder / "authorized_keys").write_text("")

    called = wheelfarm("node", "add", "pi4", sshd.target, "--yes")

    assert called.code == 1
    assert "authorized_keys" in called.err
    assert _pinned(settings) == {"pi4": str(sshd.host_key)}


def test_a_person_s_own_key_may_log_in(wheelfarm: Call, settings: Settings, tmp_path: Path) -> None:
    with Sshd(folder=tmp_path / "other", keys=tmp_path / "mine") as mine:
        called = wheelfarm("node", "add", "pi4", mine.target, "--yes", "--identity", tmp_path / "mine" / "farm.key")
        refused = wheelfarm("node", "add", "pi4", mine.target)

    assert called.code == 0, called.err
    assert refused.code == 1
    assert _pinned(settings) == {"pi4": str(mine.host_key)}


def test_an_outbox_behind_sftp_is_enrolled_once_its_machine_is_known(
    wheelfarm: Call, sshd: Sshd, settings: Settings, tmp_path: Path
) -> None:

    (tmp_path / "node.csr").write_text(NodeKey.create(tmp_path / "keys", NodeName("pi4")).csr_pem())
    outbox = sshd.outbox("/outbox", user="wheelfarm-outbox")
    enrol = ("node", "enrol", "pi4", "--csr", tmp_path / "node.csr", "--outbox", outbox)

    early = wheelfarm(*enrol)
    wheelfarm("node", "add", "pi4", sshd.target, "--yes")
    called = wheelfarm(*enrol)

    assert early.code == 2
    assert f"first: wheelfarm node add pi4 USER@127.0.0.1:{sshd.port}" in early.err
    assert called.code == 0, called.err
    database = engine(settings.database_url)
    with transaction(database) as session:
        assert session.get_one(Node, "pi4").outbox == f"sftp://wheelfarm-outbox@127.0.0.1:{sshd.port}/outbox"
    database.dispose()


def test_a_machine_that_is_not_there_is_told_from_one_that_refuses(wheelfarm: Call, sshd: Sshd) -> None:
    sshd.stop()

    called = wheelfarm("node", "add", "pi4", sshd.target, "--yes")

    assert called.code == 1
    assert "does not answer over SSH" in called.err
    assert "Traceback" not in called.err


def test_what_is_no_ssh_server_is_told_in_one_line(wheelfarm: Call, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_greet_otherwise, args=(listener,))
        thread.start()
        called = wheelfarm("node", "add", "pi4", f"pi@127.0.0.1:{listener.getsockname()[1]}", "--yes")
        thread.join(10)

    assert called.code == 1
    assert len(called.err.splitlines()) == 1, called.err
    assert _pinned(settings) == {}


def _greet_otherwise(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"220 mail.example ESMTP\r\n" * 200)
        connection.settimeout(5)
        with contextlib.suppress(OSError):
            while connection.recv(4096):
                pass


def test_the_name_of_an_enrolled_node_may_get_its_host_key_later(
    wheelfarm: Call, sshd: Sshd, settings: Settings
) -> None:
    database = engine(settings.database_url)
    with transaction(database) as session:
        rows.node(session, "pi4")
    database.dispose()

    assert wheelfarm("node", "add", "pi4", sshd.target, "--yes").code == 0


@pytest.mark.parametrize(("said", "accepted"), [("y\n", True), ("n\n", False)])
def test_a_person_is_asked_whether_the_key_is_the_right_one(
    sshd: Sshd, settings: Settings, settings_file: Path, *, said: str, accepted: bool
) -> None:
    near, far = pty.openpty()
    try:
        os.write(near, said.encode())
        called = subprocess.run(
            [sys.executable, "-m", "master.cli", "--settings", settings_file, "node", "add", "pi4", str(sshd.target)],
            stdin=far,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(near)
        os.close(far)

    assert "compare it with what is printed on that machine itself: for key in /etc/ssh/" in called.stderr
    assert called.returncode == (0 if accepted else 1), called.stderr
    assert _pinned(settings) == ({"pi4": str(sshd.host_key)} if accepted else {})


def test_the_inventory_that_is_written_names_the_key_that_was_accepted_and_nothing_secret(
    wheelfarm: Call, settings: Settings, sshd: Sshd
) -> None:
    wheelfarm("node", "add", "pi4", sshd.target, "--yes")

    folder = settings.farm.home / "ansible"
    groups = json.loads((folder / "pi4.json").read_text())["all"]["children"]
    machine = groups["nodes"]["hosts"]["pi4"]
    assert (machine["ansible_host"], machine["ansible_port"]) == ("127.0.0.1", sshd.port)
    assert machine["node_platforms"] == ["debian12-x86_64-cp311"]
    assert "StrictHostKeyChecking=yes" in machine["ansible_ssh_common_args"]
    assert (folder / "pi4.known_hosts").read_text() == f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n"
    assert folder.stat().st_mode & 0o077 == 0
    assert "PRIVATE KEY" not in (folder / "pi4.json").read_text()


def test_an_inventory_of_ones_own_is_used_as_it_is(wheelfarm: Call, settings: Settings, sshd: Sshd) -> None:
    own = settings.farm.home / "hosts.yml"
    own.write_text("all: {}")

    called = wheelfarm("node", "add", "pi4", sshd.target, "--yes", "--inventory", own, "-e", "node_firewall=true")

    assert f"ansible-playbook -i {own} " in called.out
    assert called.out.endswith("-l pi4 -e node_firewall=true\n")
    assert not (settings.farm.home / "ansible").exists()


def test_a_node_is_not_deployed_to_a_farm_whose_redis_it_could_not_reach(
    wheelfarm: Call, settings: Settings, sshd: Sshd
) -> None:
    called = wheelfarm("node", "add", "pi4", sshd.target, "--yes", "--deploy")

    assert called.code == 2
    assert "nodes on other machines cannot reach this farm's Redis" in called.err
    assert "redis-for-remote-nodes.md" in called.err
    assert _pinned(settings) == {}


def test_what_is_no_variable_is_refused(wheelfarm: Call, sshd: Sshd) -> None:
    called = wheelfarm("node", "add", "pi4", sshd.target, "--yes", "-e", "--become-user=x")

    assert called.code == 2
    assert "is not VARIABLE=VALUE" in called.err


def _deploy(settings: Settings, sshd: Sshd, file: Path, hosts: str) -> subprocess.CompletedProcess[str]:
    """``node add --deploy --json`` with an inventory of one's own, where ansible's words go as they do for people."""
    own = settings.farm.home / "hosts.yml"
    own.write_text(hosts)
    file.write_text(file.read_text() + '[redis]\nurl = "rediss://master:x@redis.example.org/0"\n')
    words = ("node", "add", "pi4", str(sshd.target), "--yes", "--inventory", str(own), "--deploy", "--json")
    return subprocess.run(
        [sys.executable, "-m", "master.cli", "--settings", file, *words], capture_output=True, text=True, check=False
    )


def test_what_ansible_says_never_comes_into_the_json(settings: Settings, settings_file: Path, sshd: Sshd) -> None:
    nobody = "{ansible_host: 127.0.0.1, ansible_port: 1, ansible_user: nobody}"

    called = _deploy(settings, sshd, settings_file, f"nodes: {{hosts: {{pi4: {nobody}}}}}\n")

    assert called.returncode != 0
    assert json.loads(called.stdout)["node"] == "pi4"
    assert "UNREACHABLE" in called.stderr.upper()


def test_an_inventory_that_does_not_name_the_node_is_refused(
    settings: Settings, settings_file: Path, sshd: Sshd
) -> None:
    called = _deploy(settings, sshd, settings_file, "all: {hosts: {pi4: {}}}\n")

    assert called.returncode == 2
    assert "the inventory has no host pi4 in its group nodes" in called.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_folder_that_takes_no_inventory_is_told(wheelfarm: Call, settings: Settings, sshd: Sshd) -> None:
    folder = settings.farm.home / "ansible"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,ro", "tmpfs", folder], check=True)
    try:
        called = wheelfarm("node", "add", "pi4", sshd.target, "--yes")
    finally:
        subprocess.run(["umount", folder], check=True)

    assert called.code == 2
    assert f"{folder} cannot be written to" in called.err
