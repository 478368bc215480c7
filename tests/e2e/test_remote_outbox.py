"""A real farm whose node's outbox is behind SFTP, from `wheelfarm node add` to a host key that changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schema.db.models import Node
from schema.db.session import transaction
from schema.sections import ImagesSection
from tests.chaos.farm import Farm, tiny_sdist
from tests.sshd import Sshd

_PATIENCE_S = 120.0


def _wait(farm: Farm, what: str, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {_PATIENCE_S} s: {what}\n{farm.logs()}"
        time.sleep(0.1)


def _node(farm: Farm) -> Node:
    with transaction(farm.database) as session:
        return session.get_one(Node, farm.settings.node.name)


def _request(farm: Farm, name: str) -> None:
    farm.upstream.add_file(name, tiny_sdist(name), filename=f"{name}-1.0.tar.gz")
    farm.command("request", "--build", "always", name)


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_results_come_over_sftp_until_the_host_key_changes_and_again_once_it_is_accepted(tmp_path: Path) -> None:
    with Farm(images=ImagesSection().folder, projects=["first"]) as farm:
        farm.wait(timeout_s=_PATIENCE_S)
        name, keys = farm.settings.node.name, farm.settings.ssh
        with Sshd(folder=tmp_path / "sshd", keys=keys) as sshd:
            target, csr = str(sshd.target), str(farm.settings.node_keys / "node.csr")
            farm.command("node", "add", name, target, "--host-key", sshd.host_key.fingerprint)
            outbox = str(sshd.outbox(farm.settings.outbox))
            farm.command("node", "enrol", name, "--csr", csr, "--outbox", outbox)
            _request(farm, "second")
            _wait(farm, "it came over SFTP", lambda: "second-1.0-py3-none-any.whl" in farm.wheels())
            _wait(farm, "the node has forgotten", lambda: not list(farm.settings.outbox.glob("*-*")))

            sshd.stop()
            sshd.new_host_key()
            sshd.start()
            _request(farm, "third")
            _wait(farm, "the node is set aside", lambda: _node(farm).state == "quarantined")
            reason = _node(farm).state_reason
            farm.command("node", "add", name, target, "--new-host-key", "--yes")
            farm.command("node", "resume", name)
            _wait(farm, "it came after all", lambda: "third-1.0-py3-none-any.whl" in farm.wheels())

        assert sshd.host_key.fingerprint in reason
        assert f"wheelfarm node add {name} USER@127.0.0.1:{sshd.port} --new-host-key" in reason
        assert _node(farm).state == "active"
