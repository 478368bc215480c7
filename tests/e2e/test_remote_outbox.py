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


def _move_behind(farm: Farm, sshd: Sshd) -> None:
    """From now on the master fetches over SFTP."""
    name, csr = farm.settings.node.name, str(farm.settings.node_keys / "node.csr")
    farm.command("node", "add", name, str(sshd.target), "--host-key", sshd.host_key.fingerprint)
    farm.command("node", "enrol", name, "--csr", csr, "--outbox", str(sshd.outbox(farm.settings.outbox)))


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_results_come_over_sftp_until_the_host_key_changes_and_again_once_it_is_accepted(tmp_path: Path) -> None:
    with Farm(images=ImagesSection().folder, projects=["first"]) as farm:
        farm.wait(timeout_s=_PATIENCE_S)
        name, keys = farm.settings.node.name, farm.settings.ssh
        with Sshd(folder=tmp_path / "sshd", keys=keys) as sshd:
            target = str(sshd.target)
            _move_behind(farm, sshd)
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


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_a_node_that_cannot_be_reached_holds_only_a_few_builds_and_all_come_once_it_can(tmp_path: Path) -> None:
    names = [f"late{number}" for number in range(8)]
    with Farm(images=ImagesSection().folder, projects=["first"]) as farm:
        farm.wait(timeout_s=_PATIENCE_S)
        with Sshd(folder=tmp_path / "sshd", keys=farm.settings.ssh) as sshd:
            _move_behind(farm, sshd)
            sshd.stop()
            for name in names:
                _request(farm, name)
            _wait(farm, "nothing more is begun", lambda: farm.states().get("collecting") == 2)
            _wait(farm, "its slots are full", lambda: len(list(farm.settings.outbox.glob("*-*"))) == 4)
            time.sleep(10)  # two more tries
            held, reason = farm.states(), _node(farm).state_reason
            sshd.start()
            _wait(farm, "all came", lambda: len(farm.wheels()) == len(names) + 1)

        assert (held["collecting"], held["leased"], held["queued"]) == (2, 2, 4)
        assert reason.startswith("its results cannot be fetched now: ")
        assert (_node(farm).state, _node(farm).state_reason) == ("active", "")
