"""The same as in test_collect, from an outbox on another machine: a real sshd on loopback serves it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from builder import outbox as node_outbox
from master import host_keys
from master.enrol import enrol
from master.lanes import Lanes
from master.outboxes import Reach
from master.targets import RemoteOutbox
from schema import outbox
from schema.db.models import Build, Node
from schema.db.session import engine, transaction
from schema.errors import TransferError, UnreachableError, UsageError
from schema.jobs import Lease, Limits, Outcome
from schema.names import NodeName, sha256_of
from schema.states import BuildState, FailureClass
from tests import rows
from tests.chaos.proxy import Proxy
from tests.master.test_collect import _LIES, _MAY_BE_DAMAGE, N1, PLATFORM, Shed
from tests.schema.wheels.forge import canonical, members
from tests.sshd import Sshd

MUTE = NodeName("mute")
SILENCE_S = 1.0
LARGE_BYTES = 4 * 2**20


class RemoteShed(Shed):
    """Its node's outbox is behind *sshd*, or behind whatever is at *outbox* instead."""

    def __init__(self, folder: Path, database: Engine, sshd: Sshd) -> None:
        super().__init__(folder, database)
        self.sshd = sshd
        self.collector = replace(
            self.collector,
            reach=Reach(identity=sshd.keys, silence_s=SILENCE_S),
            limits=Limits(wheel_bytes=2**24, log_bytes=2**16),
        )
        self.serve(sshd.outbox(self.outbox))

    def serve(self, remote: RemoteOutbox) -> None:
        with transaction(self.database) as session:
            host_keys.pin(session, N1, remote.target, self.sshd.host_key, who="ada@farm")
        csr_pem = self.key.csr_pem()
        platforms = [PLATFORM]
        enrol(self.database, self.authority, node=N1, csr_pem=csr_pem, platforms=platforms, outbox=remote)

    def partials(self) -> list[Path]:
        return list(self.collector.store.folder.glob(".partial-*"))

    def left_overs(self) -> list[Path]:
        return list(self.collector.store.folder.glob(".[a-z]*"))


@pytest.fixture
def sqlite(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Engine]:
    """One kind of database is enough here: the other tests are about both."""
    shutil.copyfile(migrated_sqlite, tmp_path / "farm.sqlite")
    made = engine(f"sqlite:///{tmp_path}/farm.sqlite")
    yield made
    made.dispose()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(folder=tmp_path / "sshd", keys=tmp_path / "ssh") as server:
        yield server


@pytest.fixture
def shed(tmp_path: Path, sqlite: Engine, sshd: Sshd) -> RemoteShed:
    return RemoteShed(tmp_path, sqlite, sshd)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return canonical(tmp_path / "built", members())


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A wheel of some MiB, since what is random cannot be packed."""
    return canonical(tmp_path / "built", members() | {"demo/data.bin": os.urandom(LARGE_BYTES)})


def test_a_wheel_of_some_megabytes_comes_over_and_is_published(shed: RemoteShed, large: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, large)

    shed.collector.collect(N1, lease)

    assert [wheel.sha256 for wheel in shed.wheels()] == [sha256_of(large)]
    assert shed.build(lease).state == BuildState.PUBLISHED
    assert (shed.folder / "logs" / str(lease.build_id) / "1.log").read_text() == "gcc -c demo.c\n"
    assert shed.left_overs() == []


def test_a_failure_comes_over_with_its_log(shed: RemoteShed, wheel: Path) -> None:
    lease = shed.leased()
    failed: dict[str, Any] = {
        "outcome": Outcome.FAILED,
        "wheel": None,
        "failure_class": FailureClass.HEADER,
        "message": "no lber.h",
    }
    shed.leave(lease, wheel, result=lambda built: replace(built, **failed))

    shed.collector.collect(N1, lease)

    assert shed.build(lease).reason == "header: no lber.h"


@pytest.mark.parametrize("lie", _LIES)
def test_a_node_that_lies_is_set_aside_and_publishes_nothing(
    lie: Callable[[Shed, Lease, Path], None], shed: RemoteShed, wheel: Path
) -> None:
    shed.collector = replace(shed.collector, limits=Limits(wheel_bytes=2**20, log_bytes=2**16))
    lease = shed.leased()
    lie(shed, lease, wheel)

    shed.collector.collect(N1, lease)

    assert (shed.wheels(), shed.build(lease).state) == ([], BuildState.WAITING)
    assert shed.node().state == "quarantined"
    assert f"build {lease.build_id}" in shed.node().state_reason
    assert shed.partials() == []


@pytest.mark.parametrize("damage", _MAY_BE_DAMAGE)
def test_bytes_that_are_not_the_promised_ones_are_fetched_again(
    damage: Callable[[Shed, Lease, Path], None], shed: RemoteShed, wheel: Path
) -> None:
    lease = shed.leased()
    damage(shed, lease, wheel)

    with pytest.raises(TransferError):
        shed.collector.collect(N1, lease)

    assert (shed.build(lease).state, shed.node().state) == (BuildState.COLLECTING, "active")
    assert shed.partials() == []
    shed.leave(lease, wheel)
    shed.collector.collect(N1, lease)
    assert [found.sha256 for found in shed.wheels()] == [sha256_of(wheel)]


def test_one_byte_that_changed_is_noticed(shed: RemoteShed, large: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, large)
    with (outbox.entry(shed.outbox, lease) / large.name).open("r+b") as file:
        file.seek(LARGE_BYTES // 2)
        byte = file.read(1)
        file.seek(LARGE_BYTES // 2)
        file.write(bytes([byte[0] ^ 1]))

    with pytest.raises(TransferError, match="not those that the node promised"):
        shed.collector.collect(N1, lease)

    assert shed.wheels() == []


def test_a_result_that_is_gone_is_built_again(shed: RemoteShed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    node_outbox.forget(shed.outbox, lease)

    shed.collector.collect(N1, lease)

    assert shed.build(lease).reason == "again: its result is gone from the outbox of node n1"
    assert shed.node().state == "active"


def test_a_connection_that_is_cut_once_is_opened_again_where_it_broke_off(shed: RemoteShed, large: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, large)
    with Proxy(shed.sshd.port) as proxy:
        shed.serve(shed.sshd.outbox(shed.outbox, port=proxy.port))
        cut = threading.Thread(target=_cut_once_connected, args=(proxy, LARGE_BYTES // 2))
        cut.start()

        shed.collector.collect(N1, lease)
        cut.join()

    assert [found.sha256 for found in shed.wheels()] == [sha256_of(large)]


def _cut_once_connected(proxy: Proxy, after_bytes: int) -> None:
    for _ in range(1000):
        if proxy.cut(after_bytes=after_bytes):
            return
        time.sleep(0.005)


def test_what_came_of_a_wheel_before_its_node_went_away_is_not_fetched_again(shed: RemoteShed, large: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, large)
    with Proxy(shed.sshd.port) as proxy:
        shed.serve(shed.sshd.outbox(shed.outbox, port=proxy.port))
        cut = threading.Thread(target=_cut_for_good, args=(proxy, LARGE_BYTES // 2))
        cut.start()
        with pytest.raises(UnreachableError):
            shed.collector.collect(N1, lease)
        cut.join()
        [partial] = shed.partials()
        held = partial.stat().st_size
        proxy.mend()
        # What was fetched must not be needed any more; the hash of the whole still tells that it is the right one.
        left = outbox.entry(shed.outbox, lease) / large.name
        with left.open("r+b") as file:
            file.write(b"\0" * (held - 1))

        shed.collector.collect(N1, lease)

    assert held > 100_000
    assert shed.build(lease).state == BuildState.PUBLISHED
    assert (shed.node().state, shed.collector.damaged, shed.left_overs()) == ("active", {}, [])


def _cut_for_good(proxy: Proxy, after_bytes: int) -> None:
    _cut_once_connected(proxy, after_bytes)
    proxy.away = True


def test_what_was_kept_of_other_bytes_is_thrown_away(shed: RemoteShed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    folder = shed.collector.store.folder
    folder.mkdir()
    (folder / f".partial-{lease}-{sha256_of(wheel)}").write_bytes(b"other bytes")

    with pytest.raises(TransferError):
        shed.collector.collect(N1, lease)
    shed.collector.collect(N1, lease)

    assert shed.build(lease).state == BuildState.PUBLISHED


def test_a_node_with_another_host_key_is_set_aside_and_nothing_comes_from_it(shed: RemoteShed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    pinned = shed.sshd.host_key
    shed.sshd.stop()
    shed.sshd.new_host_key()
    shed.sshd.start()

    shed.collector.collect(N1, lease)

    node, build = shed.node(), shed.build(lease)
    assert (node.state, shed.wheels(), build.state) == ("quarantined", [], BuildState.QUEUED)
    assert pinned.fingerprint in node.state_reason
    assert "wheelfarm node add n1 USER@127.0.0.1" in node.state_reason
    assert not (shed.folder / "logs").exists()

    with transaction(shed.database) as session:  # a person compared it, and accepted it
        host_keys.pin(session, N1, shed.sshd.target, shed.sshd.host_key, who="ada@farm")
        session.get_one(Node, "n1").state = "active"
    again = shed.leased(build_number=1)
    shed.leave(again, canonical(shed.folder / "again", members(), build_number=1))
    shed.collector.collect(N1, again)
    assert shed.build(again).state == BuildState.PUBLISHED


def test_a_machine_that_is_swapped_in_the_middle_of_a_transfer_is_noticed(shed: RemoteShed, large: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, large)
    with Sshd(folder=shed.folder / "other", keys=shed.sshd.keys) as other, Proxy(shed.sshd.port) as proxy:
        shed.serve(shed.sshd.outbox(shed.outbox, port=proxy.port))

        def swap() -> None:
            _cut_once_connected(proxy, LARGE_BYTES // 2)
            proxy.target_port = other.port

        swapping = threading.Thread(target=swap)
        swapping.start()
        shed.collector.collect(N1, lease)
        swapping.join()

    assert (shed.node().state, shed.wheels()) == ("quarantined", [])
    assert other.host_key.fingerprint in shed.node().state_reason


def test_a_node_that_does_not_answer_keeps_its_result_and_is_not_blamed(shed: RemoteShed, wheel: Path) -> None:
    lease = shed.leased()
    shed.leave(lease, wheel)
    shed.sshd.stop()

    for _ in range(5):
        with pytest.raises(UnreachableError, match="does not answer over SSH"):
            shed.collector.collect(N1, lease)

    assert (shed.build(lease).state, shed.node().state) == (BuildState.COLLECTING, "active")
    assert shed.node().state_reason.startswith("its results cannot be fetched now: 127.0.0.1:")
    shed.sshd.start()
    shed.collector.collect(N1, lease)
    assert (shed.build(lease).state, shed.node().state_reason) == (BuildState.PUBLISHED, "")


def _held_by_a_mute_node(shed: RemoteShed, port: int) -> list[Lease]:
    leases = [shed.leased(build_number=number) for number in (1, 2, 3)]
    remote = shed.sshd.outbox("/outbox", port=port)
    with transaction(shed.database) as session:
        rows.node(session, MUTE, outbox=str(remote))
        host_keys.pin(session, MUTE, remote.target, shed.sshd.host_key, who="ada@farm")
        for lease in leases:
            session.get_one(Build, lease.build_id).leased_to = MUTE
    return leases


def test_a_node_that_accepts_and_then_says_nothing_keeps_nobody_else_waiting(shed: RemoteShed, large: Path) -> None:
    """Two of its results hold a thread each until the time limit, the third none; those of others come at once."""
    lanes = Lanes(shed.collector.collect)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        stuck = _held_by_a_mute_node(shed, mute.getsockname()[1])
        mine = shed.leased()
        shed.leave(mine, large)
        for lease in stuck:
            lanes.put(MUTE, lease)
        lanes.turn(wait_s=0)

        began = time.monotonic()
        lanes.put(N1, mine)
        lanes.turn(wait_s=0)
        while shed.build(mine).state != BuildState.PUBLISHED and time.monotonic() < began + 10:
            time.sleep(0.02)
        took_s = time.monotonic() - began
        waiting = len(lanes)
        assert lanes.settle(10 * SILENCE_S)

    assert took_s < 2 * SILENCE_S  # each of the others is tried twice, and takes as long
    assert waiting == 1
    assert {shed.build(lease).state for lease in stuck} <= {BuildState.COLLECTING, BuildState.LEASED}
    assert shed.node().state == "active"


def test_no_outbox_is_enrolled_of_a_machine_whose_host_key_nobody_accepted(shed: RemoteShed) -> None:
    elsewhere = shed.sshd.outbox(shed.outbox, port=shed.sshd.port - 1)
    csr_pem = shed.key.csr_pem()

    with pytest.raises(UsageError, match=r"was accepted at 127.0.0.1:\d+; the outbox is at 127.0.0.1:\d+"):
        enrol(shed.database, shed.authority, node=N1, csr_pem=csr_pem, platforms=[PLATFORM], outbox=elsewhere)


@pytest.fixture
def locked(tmp_path: Path, sqlite: Engine) -> Iterator[tuple[RemoteShed, Sshd]]:
    """An account that sees the outbox alone, as docs/how-to/add-a-node.md sets it up: its folder must be root's."""
    base = Path(tempfile.mkdtemp(dir="/run", prefix="wheelfarm-test-"))
    base.chmod(0o755)
    jail = base / "node"
    jail.mkdir(mode=0o755)
    more = f"Match User nobody\n  ChrootDirectory {jail}\n  ForceCommand internal-sftp -R\n  DisableForwarding yes\n"
    try:
        with Sshd(folder=base / "sshd", keys=tmp_path / "ssh", more=more) as sshd:
            shed = RemoteShed(tmp_path, sqlite, sshd)
            shed.outbox = jail / "outbox"
            shed.serve(sshd.outbox("/outbox", user="nobody"))
            yield shed, sshd
    finally:
        shutil.rmtree(base)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's sshd may lock an account into a folder")
def test_an_account_that_may_only_read_the_outbox_is_enough(locked: tuple[RemoteShed, Sshd], wheel: Path) -> None:
    shed, sshd = locked
    lease = shed.leased()
    shed.leave(lease, wheel)

    shed.collector.collect(N1, lease)

    assert shed.build(lease).state == BuildState.PUBLISHED
    left = ("put /etc/hostname /outbox/new", "rm /outbox/1-1/build.log", "get /etc/passwd", "get ../../etc/passwd")
    for command in left:
        assert _sftp(sshd, command).returncode != 0, command
    assert _sftp(sshd, "get /outbox/1-1/build.log").returncode == 0
    options = ["-i", str(sshd.keys / "farm.key"), "-p", str(sshd.port), *_NO_QUESTIONS]
    shell = subprocess.run(
        ["ssh", *options, "nobody@127.0.0.1", "id"],
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=10,
    )
    assert b"uid" not in shell.stdout


_NO_QUESTIONS = ["-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"]


def _sftp(sshd: Sshd, command: str) -> subprocess.CompletedProcess[bytes]:
    options = ["-i", str(sshd.keys / "farm.key"), "-P", str(sshd.port), *_NO_QUESTIONS, "-b", "-"]
    return subprocess.run(
        ["sftp", *options, "nobody@127.0.0.1"],
        input=command.encode(),
        check=False,
        capture_output=True,
        cwd=sshd.folder,
        timeout=10,
    )
