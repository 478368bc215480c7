"""Connections to machines: to the pinned host key only, and never for ever."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from master import identity, ssh
from master.ssh import HostKey
from master.targets import Target
from schema.errors import HostKeyError, TrustError, UnreachableError
from schema.names import NodeName
from tests.sshd import Sshd

PI4 = NodeName("pi4")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(folder=tmp_path / "sshd", keys=tmp_path / "ssh") as server:
        yield server


def test_the_fingerprint_is_the_one_that_ssh_keygen_prints(sshd: Sshd) -> None:
    shown = ssh.shown_host_key(sshd.target)
    printed = subprocess.run(
        ["ssh-keygen", "-lf", sshd.folder / "host_key.pub"], check=True, capture_output=True, text=True
    ).stdout

    assert shown == sshd.host_key
    assert shown.fingerprint == printed.split()[1]
    assert HostKey.parse(str(shown)) == shown


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 AAAA!", "a b c"])
def test_what_is_no_host_key_is_refused(text: str) -> None:
    with pytest.raises(TrustError, match="not an SSH host key"):
        HostKey.parse(text)


def test_where_another_host_key_is_shown_nobody_logs_in(sshd: Sshd, tmp_path: Path) -> None:
    pinned = sshd.host_key
    sshd.stop()
    sshd.new_host_key()
    sshd.start()

    with (
        pytest.raises(HostKeyError) as refused,
        ssh.connected(sshd.target, node=PI4, pinned=pinned, key=identity.own(tmp_path / "ssh")),
    ):
        pytest.fail("logged in")

    assert pinned.fingerprint in str(refused.value)
    assert sshd.host_key.fingerprint in str(refused.value)
    assert f"wheelfarm node add pi4 USER@127.0.0.1:{sshd.port} --new-host-key" in str(refused.value)


def test_a_machine_that_has_only_keys_of_another_kind_now_is_another_machine(sshd: Sshd, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "other"], check=True)
    kind, encoded = (tmp_path / "other.pub").read_text().split()[:2]

    with (
        pytest.raises(HostKeyError),
        ssh.connected(
            sshd.target, node=PI4, pinned=HostKey.parse(f"{kind} {encoded}"), key=identity.own(tmp_path / "ssh")
        ),
    ):
        pytest.fail("logged in")


def test_a_key_that_is_not_let_in_is_named_with_the_remedy(sshd: Sshd, tmp_path: Path) -> None:
    with (
        pytest.raises(UnreachableError, match=r"does not let in the key SHA256:.*authorized_keys"),
        ssh.connected(sshd.target, node=PI4, pinned=sshd.host_key, key=identity.own(tmp_path / "stranger")),
    ):
        pytest.fail("logged in")


def test_a_machine_that_is_not_there_and_one_that_says_nothing_are_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=r"does not answer over SSH|says nothing"):
            ssh.shown_host_key(Target(user="pi", host="127.0.0.1", port=port), silence_s=0.5)
        took_s = time.monotonic() - began
    with pytest.raises(UnreachableError, match="Connection refused"):
        ssh.shown_host_key(Target(user="pi", host="127.0.0.1", port=port), silence_s=0.5)

    assert took_s < 3


def test_a_server_that_announces_a_packet_of_gigabytes_is_not_listened_to() -> None:
    def flood(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"SSH-2.0-flood\r\n" + b"\x7f\xff\xff\xfc" + b"\0" * 64)
            connection.settimeout(5)
            while connection.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=flood, args=(listener,))
        thread.start()
        with pytest.raises(UnreachableError, match=r"a packet of 2147483\d+ bytes"):
            ssh.shown_host_key(Target(user="pi", host="127.0.0.1", port=listener.getsockname()[1]), silence_s=5)
        thread.join(5)
