"""A node that speaks the wire's language and lies: ``python -m tests.chaos.liar farm.toml``, with ``CHAOS_LIE``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from builder import outbox, tasks
from schema import outbox as outboxes
from schema import wire
from schema.attest import statement, tested
from schema.attest.authority import Authority, NodeKey
from schema.attest.tested import ProbedImage
from schema.errors import UnavailableError
from schema.jobs import BuildJob, BuildResult, Heartbeat, Lease, Outcome, WheelFile
from schema.names import NodeName, Sha256, node_name, sha256_of
from schema.settings import Settings, load
from schema.wheels.canonical import repack

_LOG = b"all is well\n"
_HUGE_BYTES = 2**31  # of holes; more than is taken of any file
_LOG_SHA256 = Sha256(hashlib.sha256(_LOG).hexdigest())

LIES = (
    *("other project", "other version", "promises other bytes", "unknown key", "other sdist", "other node"),
    *("other bytes than signed", "not canonical", "a link", "no wheel", "other build", "garbage"),
    *("a pipe", "a folder", "a huge wheel", "a huge log", "a huge result", "a deep result", "a link to an attempt"),
)


def wheel(folder: Path, project: str, version: str) -> Path:
    """A wheel that no source distribution of the harness makes."""
    name, info = project.replace("-", "_"), f"{project.replace('-', '_')}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    members = {
        f"{name}.py": "here = 'a lie'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: liar\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return path


class Liar:
    """Takes every job, and answers at once with what the master must refuse."""

    def __init__(self, settings: Settings, lie: str, send: Callable[[Heartbeat], None]) -> None:
        self._settings, self._lie, self._send = settings, lie, send
        self._name: NodeName = node_name(settings.node.name)
        self._ready: set[Lease] = set()
        self._stopping = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def stop(self) -> None:
        self._stopping.set()
        self._beats.join()

    def build(self, job: BuildJob) -> None:
        with tempfile.TemporaryDirectory() as name:
            self._answer(job, Path(name))

    def cancel(self, lease: Lease) -> None:
        """Nothing takes long here."""

    def forget(self, lease: Lease) -> None:
        outbox.forget(self._settings.outbox, lease)

    def _answer(self, job: BuildJob, folder: Path) -> None:
        project = "elsewhere" if self._lie == "other project" else job.project
        version = "6.6.6" if self._lie == "other version" else job.version
        file = wheel(folder, project, version)
        if self._lie != "not canonical":
            (folder / "canonical").mkdir()
            file = repack(file, folder / "canonical", epoch=1_700_000_000, build_number=job.build_number)
        told = WheelFile(filename=file.name, sha256=sha256_of(file), size_bytes=file.stat().st_size)
        if self._lie == "promises other bytes":
            told = replace(told, sha256=Sha256("0" * 64))
        result = self._result(job, told)
        log = folder / "log"
        log.write_bytes(_LOG)
        outbox.leave(self._settings.outbox, result, log=log, wheel=file, attestation=self._signed(job, told, folder))
        self._spoil(outboxes.entry(self._settings.outbox, job.lease), file.name)
        self._ready.add(job.lease)

    def _result(self, job: BuildJob, told: WheelFile) -> BuildResult:
        now = datetime.now(UTC)
        return BuildResult(
            node=node_name("node0") if self._lie == "other node" else self._name,
            lease=job.lease,
            outcome=Outcome.BUILT,
            started_at=now,
            finished_at=now,
            steps=(),
            log_sha256=_LOG_SHA256,
            wheel=told,
        )

    def _signed(self, job: BuildJob, told: WheelFile, folder: Path) -> dict[str, Any]:
        if self._lie == "other sdist":
            job = replace(job, sdist=replace(job.sdist, sha256=Sha256("1" * 64)))
        if self._lie == "other build":
            job = replace(job, build_id=job.build_id + 1)
        now = datetime.now(UTC)
        said = statement.provenance(
            job=job,
            farm=self._settings.farm.name,
            node=self._name,
            wheel=told,
            started_at=now,
            finished_at=now,
            materials=(),
            environment={},
            log_sha256=_LOG_SHA256,
            isolation="none",
        )
        return self._key(job, folder).sign(said)

    def _key(self, job: BuildJob, folder: Path) -> NodeKey:
        if self._lie != "unknown key":
            return NodeKey.open(self._settings.node_keys)
        key = NodeKey.create(folder / "keys", self._name)
        other = Authority.create(folder / "authority")
        key.install(other.certify(key.csr_pem(), node=self._name, platforms=[job.platform]))
        return key

    def _spoil(self, entry: Path, filename: str) -> None:
        """What is done to the entry before any heartbeat mentions it."""
        file, result = entry / filename, entry / outboxes.RESULT
        if self._lie in {"no wheel", "a link", "a pipe", "a folder"}:
            file.unlink()
        deeds: dict[str, Callable[[], object]] = {
            "other bytes than signed": lambda: file.write_bytes(file.read_bytes()[:-1] + b"!"),
            "a link": lambda: file.symlink_to("/etc/hostname"),
            "a pipe": lambda: os.mkfifo(file),
            "a folder": file.mkdir,
            "a link to an attempt": lambda: _link(entry),
            "garbage": lambda: result.write_text(json.dumps(["not", {"a": "result"}])),
            "a deep result": lambda: result.write_text("[" * 200_000),
            "a huge result": lambda: os.truncate(result, _HUGE_BYTES),
            "a huge log": lambda: os.truncate(entry / outboxes.LOG, _HUGE_BYTES),
            "a huge wheel": lambda: os.truncate(file, _HUGE_BYTES),
        }
        deeds.get(self._lie, lambda: None)()

    def _beat(self) -> None:
        platforms = tuple(map(str, self._settings.farm.platforms))
        while not self._stopping.wait(self._settings.timing.heartbeat_s):
            finished = tuple(item for item in outboxes.entries(self._settings.outbox) if item in self._ready)
            with contextlib.suppress(UnavailableError):
                self._send(
                    Heartbeat(
                        node=self._name,
                        version="1",
                        platforms=platforms,
                        slots=1,
                        finished=finished,
                        self_test=self._self_test(),
                    )
                )

    def _self_test(self) -> dict[str, Any]:
        """It says that its sandboxes hold, and has none."""
        names = sorted({platform.image for platform in self._settings.farm.platforms})
        images = [ProbedImage(name=name, digest=Sha256("0" * 64), refused=1, through=()) for name in names]
        said = tested.statement(node=self._name, version="1", at=datetime.now(UTC), images=images)
        return NodeKey.open(self._settings.node_keys).sign(said)


def _link(entry: Path) -> None:
    elsewhere = entry.with_name(f"elsewhere.{entry.name}")
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)


def main() -> None:
    """Be a node until SIGTERM."""
    settings = load(Path(sys.argv[1]))
    app = wire.celery_app(settings.redis_url, name="liar", tls=settings.redis_tls)
    liar = Liar(
        settings,
        os.environ["CHAOS_LIE"],
        lambda beat: wire.send(app, wire.HEARTBEAT, beat, queue=wire.MASTER_QUEUE),
    )
    tasks.register(app, liar)
    try:
        wire.work(app, name="liar", queues=[wire.node_queue(node_name(settings.node.name))], threads=2)
    finally:
        liar.stop()


if __name__ == "__main__":
    main()
