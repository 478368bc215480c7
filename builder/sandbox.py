"""Run hostile code in an image: no network, no capabilities, no way out, within limits, and nothing left afterwards.

What the build sees is in ``builder.bubblewrap``, which system calls it may make in ``builder.seccomp``, what holds it
to its limits in ``builder.limits``, and what this machine can do of all that in ``builder.isolation``.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder import bubblewrap, cell
from builder.bubblewrap import Bind
from builder.cell import Cell
from builder.isolation import probe, problems
from builder.limits import Meter, cgroup
from builder.limits.cgroup import Group
from builder.limits.disk import DiskMeter
from builder.limits.watchdog import Watchdog
from builder.log import Log
from builder.track import Gauge, Track
from schema.errors import LimitExceededError, NodeError
from schema.jobs import Limits
from schema.states import FailureClass

__all__ = ["Bind", "Finished", "Sandbox", "probe", "problems", "run"]

_TICK_S = 0.2
_OPEN_FILES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Where and as whom code runs.

    root: the image's root folder
    environment: nothing of ours is added but PATH, HOME, TMPDIR, LC_ALL and TZ where they are missing
    network: the machine's own network, for our own fetch phase only
    uid: the user (and group) to become, where we are root; None: as we are
    """

    root: Path
    binds: tuple[Bind, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    network: bool = False
    uid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a run ended that kept to its limits.

    exit_code: as a shell gives it: 128 + the signal's number for a process that a signal ended
    peak_memory_bytes, disk_bytes: the most that was used at once; 0 where it cannot be told
    """

    exit_code: int
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    disk_bytes: int


def run(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    limits: Limits,
    log: Log,
    deadline: float,
    scratch: Sequence[Path] = (),
    cancelled: threading.Event,
    track: Track | None = None,
) -> Finished:
    """Run *argv* in *sandbox*, its output going to *log*; no process of it is left when this returns or raises.

    deadline: by ``time.monotonic()``
    scratch: the folders whose use counts as disk; track: where what it uses is noted
    Raise LimitExceededError with the class of the limit (CANCELLED once *cancelled* is set), NodeError if the sandbox
    cannot start. A non-zero exit is no error.
    """
    _refuse_links(sandbox.binds, scratch)
    options = list(
        bubblewrap.options(sandbox.root, sandbox.binds, sandbox.environment, cwd=sandbox.cwd, network=sandbox.network)
    )
    started = time.monotonic()
    with (
        cgroup.group(limits) as group,
        cell.opened(options, argv, rlimits=_rlimits(limits, group), uid=sandbox.uid, join=group.add) as running,
    ):
        disk = DiskMeter(folders=scratch, limit_bytes=limits.disk_bytes, pid=running.first_pid)
        watchdog = Watchdog(
            pid=running.first_pid, limits=limits, memory=group.memory is None, processes=group.pids is None
        )
        patience = _Patience(limits=limits, log=log, deadline=deadline, cancelled=cancelled)
        gauge = Gauge(track=track or Track(), group=group, watchdog=watchdog)
        needed = [watchdog] if None in (group.memory, group.pids) else []
        over = _watch(running, log, patience, [patience, group, disk, *needed, gauge])
        running.end()
        gauge.look(last=True)
        for chunk in iter(running.read, b""):
            log.write(chunk)
        log.settle()
        over = over or group.look() or disk.look(final=True) or (FailureClass.LOG if log.full else None)
        if over is not None:
            raise LimitExceededError(_words(over, limits, log), failure_class=over)
        exit_code = running.exit_code()
        if exit_code is None:
            raise NodeError(f"the sandbox does not work: {log.tail(500).strip() or 'it says nothing'}")
        return Finished(
            exit_code=exit_code,
            wall_s=time.monotonic() - started,
            cpu_s=group.cpu_s() or watchdog.cpu_s,
            peak_memory_bytes=group.peak_memory_bytes() or watchdog.peak_bytes,
            disk_bytes=disk.peak_bytes,
        )


@dataclass(slots=True, kw_only=True)
class _Patience:
    """What the farm does not wait for.

    heard_at: when the build last said something, by ``time.monotonic()``
    """

    limits: Limits
    log: Log
    deadline: float
    cancelled: threading.Event
    heard_at: float = field(default_factory=time.monotonic)

    def look(self) -> FailureClass | None:
        now = time.monotonic()
        if self.cancelled.is_set():
            return FailureClass.CANCELLED
        if self.log.full:
            return FailureClass.LOG
        if now > self.deadline:
            return FailureClass.TIMEOUT
        return FailureClass.SILENCE if now - self.heard_at > self.limits.silence_s else None


def _watch(running: Cell, log: Log, patience: _Patience, meters: Sequence[Meter]) -> FailureClass | None:
    """Take the output until the command has ended (None), or a limit is gone over."""
    poll = select.poll()
    for number in (running.output, running.exited):
        poll.register(number, select.POLLIN)
    look_at = 0.0
    while True:
        ready = {number for number, _ in poll.poll(_TICK_S * 1000)}
        if running.exited in ready:
            return None
        now = time.monotonic()
        if running.output in ready:
            patience.heard_at = now
            if chunk := running.read():
                log.write(chunk)
            else:
                poll.unregister(running.output)
        if now < look_at and not log.full:
            continue
        look_at = now + _TICK_S
        over = next((found for meter in meters if (found := meter.look())), None)
        if over is not None:
            return over


def _rlimits(limits: Limits, group: Group) -> dict[str, int]:
    """The floor below control groups and watchdogs; each holds for one process only, but for nproc."""
    rlimits = {"core": 0, "nofile": _OPEN_FILES, "fsize": limits.disk_bytes}
    # Twice, so that it is the watchdog that ends a build that grows: it knows why.
    if group.pids is None:
        rlimits["nproc"] = 2 * limits.processes
    if group.memory is None:
        rlimits["data"] = 2 * limits.memory_bytes
    return rlimits


def _refuse_links(binds: Sequence[Bind], scratch: Sequence[Path]) -> None:
    """An earlier step of the same job may have put a link where a later one binds a folder: nobody follows it."""
    for bind in binds:
        for folder in scratch:
            if bind.source.is_relative_to(
                folder
            ) and bind.source.resolve() != folder.resolve() / bind.source.relative_to(folder):
                raise NodeError(f"a link leads out of the job's folder: {bind.source}")


def _words(over: FailureClass, limits: Limits, log: Log) -> str:
    return {
        FailureClass.CANCELLED: "cancelled",
        FailureClass.MEMORY: f"used more than {limits.memory_bytes / 2**20:.0f} MiB of memory",
        FailureClass.PROCESSES: f"ran more than {limits.processes} processes at once",
        FailureClass.DISK: f"wrote more than {limits.disk_bytes / 2**20:.0f} MiB to disk, or too many files",
        FailureClass.LOG: f"said more than {log.most_bytes / 2**20:.0f} MiB",
        FailureClass.SILENCE: f"said nothing for {limits.silence_s:.0f} s",
        FailureClass.TIMEOUT: f"ran out of time (the whole job may take {limits.wall_s:.0f} s)",
    }[over]
