"""The node as a process: takes jobs from its own queue, says every few seconds what it does, streams what happens."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from celery import Celery
from celery.signals import worker_shutting_down

from builder import build as building
from builder import images, isolation, machine, outbox, tasks, vitals
from builder.attempt import Attempt, Bench, carry_out
from builder.log import Log
from builder.selftest import SelfTest
from builder.workshop import Workshop
from schema import outbox as outboxes
from schema import redis_url, wire
from schema.attest.authority import NodeKey
from schema.errors import NodeError, RefusedError, SettingsError, UnavailableError
from schema.jobs import BuildJob, Heartbeat, Lease, Progress
from schema.messages import Message
from schema.names import node_name
from schema.settings import Settings

log = logging.getLogger(__name__)

_PROGRESS_PAUSE_S = 1.0
_LOG_PIECE_BYTES = 256 * 1024


def run(settings: Settings) -> None:
    """Run the node until SIGTERM or SIGINT.

    Raise NodeError if this machine cannot build, TrustError if the node is not enrolled, SettingsError if redis.url is
    another node's, RefusedError if Redis is there, but not for this node.
    """
    if problems := isolation.problems():
        raise NodeError("this machine cannot build: " + "; ".join(problems))
    NodeKey.open(settings.node_keys)
    app = wire.celery_app(settings.redis_url, name="wheelfarm-node", tls=settings.redis_tls)
    _knock(settings, app)
    node = Node(settings, app=app)
    tasks.register(app, node)
    node.start()
    # Celery waits for running tasks when it is told to stop; a build may take hours, and is done again anyway.
    worker_shutting_down.connect(lambda **_: node.stop(), weak=False)
    try:
        # Two threads more than slots: cancel and forget must not wait behind builds.
        wire.work(app, name=node.name, queues=[wire.node_queue(node.name)], threads=settings.node.slots + 2)
    finally:
        node.stop()


def _knock(settings: Settings, app: Celery) -> None:
    """A Redis that is away is waited for; one that refuses this node will go on to."""
    queue = wire.node_queue(node_name(settings.node.name))
    user = redis_url.user_of(settings.redis_url)
    if wire.is_a_nodes(user) and user != wire.user(queue):
        raise SettingsError(
            f"redis.url is for the user {user}, but this is node {settings.node.name}",
            advice=f"wheelfarm redis grant {settings.node.name}, on the master, makes this node's own",
        )
    try:
        wire.reach(app, queue)
    except RefusedError:
        raise
    except UnavailableError as err:
        log.warning("it is waited for: %s", err)


class Node:
    """What one node holds: its slots, the attempts it works on, its outbox."""

    def __init__(self, settings: Settings, *, app: Celery) -> None:
        self.name = node_name(settings.node.name)
        self._settings, self._app = settings, app
        self._isolation = isolation.probe()
        self._self_test = SelfTest(settings, NodeKey.open(settings.node_keys))
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(settings.node.slots):
            self._slots.put(slot)
        self._attempts: dict[Lease, Attempt] = {}
        self._lock = threading.Lock()
        self._news, self._stopping = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self._report, name="progress", daemon=True),
        ]

    def start(self) -> None:
        """Remove what a killed node left behind, then say hello."""
        workspace = self._settings.node.workspace
        workspace.mkdir(parents=True, exist_ok=True)
        building.clean(workspace)
        outbox.clean(self._settings.outbox)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Cancel what runs; the master builds it again elsewhere."""
        self._stopping.set()
        self._news.set()
        for attempt in list(self._attempts.values()):
            attempt.cancelled.set()

    def build(self, job: BuildJob) -> None:
        """Carry out one job, unless it is here already or no slot is free (then the master sends it again)."""
        with self._slot(job) as slot:
            if slot is None:
                log.warning("build %s: not taken: the node has it already, or no slot is free", job.lease)
                return
            folder = self._settings.node.workspace / "logs"
            folder.mkdir(parents=True, exist_ok=True)
            attempt = Attempt(job=job, log=Log(folder / f"{job.lease}.log", limit_bytes=job.limits.log_bytes))
            with self._lock:
                self._attempts[job.lease] = attempt
            self._news.set()
            log.info("build %s: %s %s for %s begins", job.lease, job.project, job.version, job.platform)
            try:
                result = carry_out(attempt, self._bench(slot))
                log.info("build %s: %s %s", job.lease, result.outcome, result.message)
                self._send_progress(attempt)
            finally:
                with self._lock:
                    del self._attempts[job.lease]
                attempt.log.path.unlink(missing_ok=True)
                self._news.set()

    def cancel(self, lease: Lease) -> None:
        """Stop a build whose lease is not ours any more."""
        attempt = self._attempts.get(lease)
        if attempt is not None:
            attempt.cancelled.set()

    def forget(self, lease: Lease) -> None:
        """The master has what it wants of this attempt."""
        outbox.forget(self._settings.outbox, lease)

    @contextmanager
    def _slot(self, job: BuildJob) -> Iterator[int | None]:
        with self._lock:
            known = job.lease in self._attempts or job.lease in outboxes.entries(self._settings.outbox)
        try:
            slot = None if known else self._slots.get_nowait()
        except queue.Empty:
            slot = None
        try:
            yield slot
        finally:
            if slot is not None:
                self._slots.put(slot)

    def _bench(self, slot: int) -> Bench:
        settings = self._settings
        uid = settings.node.build_uid + slot if os.geteuid() == 0 else None
        return Bench(
            farm=settings.farm.name,
            node=self.name,
            key=NodeKey.open(settings.node_keys),
            isolation=" ".join(f"{key}={value}" for key, value in sorted(self._isolation.items())),
            workshop=Workshop.from_settings(settings, uid=uid),
            outbox=settings.outbox,
        )

    def _beat(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            self._send(wire.HEARTBEAT, self._heartbeat())
            self._news.wait(self._settings.timing.heartbeat_s)

    def _heartbeat(self) -> Heartbeat:
        settings = self._settings
        offered = {image.name: image.emulation for image in images.installed(settings.images.folder)}
        platforms = [item for item in settings.farm.platforms if item.image in offered]
        with self._lock:
            running = tuple(self._attempts)
            finished = tuple(item for item in outboxes.entries(settings.outbox) if item not in self._attempts)
        return Heartbeat(
            node=self.name,
            version=version("wheelfarm"),
            platforms=tuple(map(str, platforms)),
            emulated=tuple(str(item) for item in platforms if offered[item.image] is not None),
            slots=settings.node.slots,
            cores=machine.cores(),
            memory_bytes=machine.memory_bytes(),
            disk_free_bytes=max(shutil.disk_usage(settings.node.workspace).free, 1),  # 0: not told
            running=running,
            finished=finished,
            facts=_facts() | self._isolation,
            boot=_boot(),
            uptime_s=time.clock_gettime(time.CLOCK_BOOTTIME),
            vitals=vitals.look(),
            self_test=self._self_test.signed(),
        )

    def _report(self) -> None:
        sent: dict[Lease, tuple[int, int]] = {}
        while not self._stopping.wait(_PROGRESS_PAUSE_S):
            attempts = list(self._attempts.values())
            sent = {attempt.job.lease: sent.get(attempt.job.lease, (-1, 0)) for attempt in attempts}
            for attempt in attempts:
                lease = attempt.job.lease
                seen = (hash(attempt.steps), attempt.log.bytes_written)
                if seen != sent[lease]:
                    self._send_progress(attempt, log_offset=sent[lease][1])
                    sent[lease] = seen

    def _send_progress(self, attempt: Attempt, *, log_offset: int | None = None) -> None:
        """The steps so far, and the log from *log_offset* on (None: no log) in pieces."""
        steps = attempt.steps
        end = attempt.log.bytes_written
        offset = end if log_offset is None else log_offset
        while True:
            piece = attempt.log.read(offset, min(_LOG_PIECE_BYTES, end - offset))
            text = piece.decode("utf-8", "surrogateescape")
            self._send(
                wire.PROGRESS,
                Progress(node=self.name, lease=attempt.job.lease, steps=steps, log_offset=offset, log=text),
            )
            offset += len(piece)
            if offset >= end or not piece:
                return

    def _send(self, task: str, message: Message) -> None:
        """Messages are hints: what cannot be sent is said again, or comes with the result."""
        try:
            wire.send(self._app, task, message, queue=wire.MASTER_QUEUE)
        except UnavailableError as err:
            log.warning("the master was not told (%s): %s", task, err)


def _boot() -> str:
    """Linux's name for the time since the machine was started; "" where it gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _facts() -> dict[str, str]:
    system = os.uname()
    return {"machine": system.machine, "kernel": system.release}
