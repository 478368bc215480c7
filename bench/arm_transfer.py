"""How fast results come over SFTP, beside OpenSSH's own ``sftp`` from the same server: part of ``make bench-arm``.

Each size is fetched by both in turn, several times; the medians are told. Both check the host key and write to a file;
the farm also takes the digest, and opens its connection anew for each result, as ``sftp`` does.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from master import identity, outboxes, transfer
from master.outboxes import Reach
from schema.jobs import Lease, WheelFile
from schema.names import NodeName, Sha256, sha256_of
from tests.sshd import Sshd

_SIZES_MIB = (1, 16, 128)
_TURNS = 5
_NODE = NodeName("bench")
_WHEEL = "bench-1.0-py3-none-any.whl"


def compare(folder: Path) -> None:
    """Print the table; *folder*: an empty one."""
    identity.own(folder / "keys")
    with Sshd(folder=folder / "sshd", keys=folder / "keys") as sshd:
        print(f"\n{'fetched':>10} {'farm MiB/s':>11} {'sftp MiB/s':>11} {'farm / sftp':>12}   (median of {_TURNS})")
        for number, size in enumerate(_SIZES_MIB, start=1):
            lease = Lease(build_id=number, fence=1)
            wheel = _left(folder / "outbox" / str(lease), size)
            ours, theirs = [], []
            for _ in range(_TURNS):
                ours.append(_timed(partial(_farm, folder, sshd, lease, wheel)))
                theirs.append(_timed(partial(_sftp, folder, sshd, lease)))
            farm, sftp = (size / statistics.median(times) for times in (ours, theirs))
            print(f"{size:>6} MiB {farm:>11.1f} {sftp:>11.1f} {farm / sftp:>12.2f}", flush=True)


def _left(entry: Path, size: int) -> WheelFile:
    entry.mkdir(parents=True)
    (entry / _WHEEL).write_bytes(os.urandom(size * 2**20))
    return WheelFile(filename=_WHEEL, sha256=Sha256(sha256_of(entry / _WHEEL)), size_bytes=size * 2**20)


def _timed(fetch: Callable[[], None]) -> float:
    began = time.perf_counter()
    fetch()
    return time.perf_counter() - began


def _farm(folder: Path, sshd: Sshd, lease: Lease, wheel: WheelFile) -> None:
    """As the master takes a wheel; its digest is compared on the way."""
    reach = Reach(identity=folder / "keys")
    location = str(sshd.outbox(folder / "outbox"))
    into = folder / "store"
    into.mkdir(exist_ok=True)
    with (
        outboxes.opened(_NODE, location, host_key=str(sshd.host_key), reach=reach) as box,
        transfer.copied(box, lease, wheel, into=into, limit_bytes=2**30) as fetched,
    ):
        assert fetched.stat().st_size == wheel.size_bytes  # noqa: S101 - a bench


def _sftp(folder: Path, sshd: Sshd, lease: Lease) -> None:
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    subprocess.run(
        [
            *("sftp", "-q", "-F", "/dev/null", "-i", folder / "keys" / "farm.key", "-P", str(sshd.port)),
            *("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"),
            f"{sshd.target.user}@127.0.0.1:{folder / 'outbox' / str(lease) / _WHEEL}",
            folder / "fetched.whl",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (folder / "fetched.whl").unlink()
