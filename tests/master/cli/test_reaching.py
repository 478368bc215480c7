"""``wheelfarm node host-key``, ``enrol --if-needed`` and ``reach``: what a playbook does, and does again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schema.attest.authority import NodeKey
from schema.db.models import Node
from schema.db.session import engine, transaction
from schema.names import NodeName
from schema.settings import Settings
from schema.states import NodeState
from tests.master.cli.conftest import Call
from tests.sshd import Sshd

PI = NodeName("pi4")


@pytest.fixture
def sshd(tmp_path: Path, settings: Settings) -> Iterator[Sshd]:
    with Sshd(folder=tmp_path / "sshd", keys=settings.ssh) as server:
        yield server


@pytest.fixture
def csr(tmp_path: Path) -> Path:
    NodeKey.create(tmp_path / "keys", PI)
    return tmp_path / "keys" / "node.csr"


def test_a_host_key_is_accepted_once_and_another_only_if_that_is_said(wheelfarm: Call, sshd: Sshd) -> None:
    words = ("node", "host-key", "pi4", sshd.target)
    first, again = (wheelfarm(*words, sshd.host_key, "--json") for _ in range(2))
    sshd.new_host_key()

    refused = wheelfarm(*words, sshd.host_key)
    accepted = wheelfarm(*words, sshd.host_key, "--new-host-key", "--json")

    assert [call.json["changed"] for call in (first, again, accepted)] == [True, False, True]
    assert refused.code == 1
    assert sshd.host_key.fingerprint in refused.err


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("ssh-ed25519", "not an SSH host key"),
        ("ssh-ed25519 not!base64", "not an SSH host key"),
        ("ssh-ed25519 AAAA", "not the public half of an SSH key"),
        ("ssh-rsa AAAAC3NzaC1lZDI1NTE5", "not the public half of an SSH key"),
    ],
)
def test_what_is_no_host_key_is_not_accepted(wheelfarm: Call, key: str, said: str) -> None:
    called = wheelfarm("node", "host-key", "pi4", "pi@pi4.local", key)

    assert called.code != 0
    assert said in called.err
    assert "Traceback" not in called.err


def test_a_node_is_enrolled_again_only_where_something_is_another_than_before(
    wheelfarm: Call, csr: Path, settings: Settings
) -> None:
    words = ("node", "enrol", "pi4", "--csr", csr, "--outbox", "/outbox", "--if-needed", "--json")
    first, again = wheelfarm(*words).json, wheelfarm(*words).json
    other = wheelfarm(*words, "--platform", "debian12-aarch64-cp311").json
    key = NodeKey.renew(csr.parent)
    renewed = wheelfarm(*words).json
    database = engine(settings.database_url)
    with transaction(database) as session:
        session.get_one(Node, PI).state = NodeState.RETIRED
    database.dispose()

    back = wheelfarm(*words).json

    assert (first["changed"], again) == (True, first | {"changed": False})
    assert other["changed"]
    assert (renewed["changed"], renewed["key"]) == (True, key.digest)
    assert renewed["key"] != first["key"]
    assert back["changed"]


def test_what_is_no_request_is_refused(wheelfarm: Call, tmp_path: Path) -> None:
    wheelfarm("migrate")
    for number, text in enumerate((b"\xff\xfe", b"-----BEGIN NOTHING-----\n")):
        file = tmp_path / f"{number}.csr"
        file.write_bytes(text)

        called = wheelfarm("node", "enrol", "pi4", "--csr", file, "--outbox", "/outbox", "--if-needed")

        assert called.code == 1, called.err
        assert "request" in called.err, called.err


def test_an_outbox_is_reached_or_it_is_said_what_is_in_the_way(
    wheelfarm: Call, sshd: Sshd, csr: Path, tmp_path: Path
) -> None:
    outbox = tmp_path / "outbox"
    outbox.mkdir()
    wheelfarm("node", "host-key", "pi4", sshd.target, sshd.host_key)
    wheelfarm("node", "enrol", "pi4", "--csr", csr, "--outbox", sshd.outbox(outbox))

    reached = wheelfarm("node", "reach", "pi4", "--json")
    outbox.rmdir()
    missing = wheelfarm("node", "reach", "pi4")
    sshd.stop()
    away = wheelfarm("node", "reach", "pi4")

    assert reached.json == {"node": "pi4", "outbox": str(sshd.outbox(outbox))}
    assert [call.code for call in (missing, away)] == [1, 1]
    assert "outbox" in missing.err
    assert f"127.0.0.1:{sshd.port}" in away.err


def test_a_node_that_is_not_there_cannot_be_reached(wheelfarm: Call) -> None:
    wheelfarm("migrate")

    called = wheelfarm("node", "reach", "pi4")

    assert called.code == 2
    assert "wheelfarm node enrol makes it known first" in called.err
