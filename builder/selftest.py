"""Whether the sandboxes of this machine hold: all probes are tried in each image; the node signs what came of it."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builder import images, probes, sandbox, workspace
from builder.images import Image
from builder.log import Log
from builder.sandbox import Bind, Sandbox
from builder.workspace import JobFolder
from schema.attest.authority import NodeKey
from schema.attest.tested import ProbedImage, statement
from schema.errors import FarmError, LimitExceededError, NodeError
from schema.jobs import Limits
from schema.settings import Settings
from schema.states import FailureClass

log = logging.getLogger(__name__)

_LIMITS = Limits(
    memory_bytes=256 * 2**20, disk_bytes=64 * 2**20, processes=64, wall_s=60.0, silence_s=60.0, log_bytes=2**20
)
_ENOUGH_S = 60.0
_SHORT_S = 2.0
_TOKEN = "WHEELFARM_SELF_TEST"  # noqa: S105 - the name of a variable
_ANSWERS_BYTES = 2**20
_BOMBS = {
    "take more memory": (probes.EATS_MEMORY, FailureClass.MEMORY, _ENOUGH_S),
    "run more processes": (probes.FORKS, FailureClass.PROCESSES, _ENOUGH_S),
    "write more to disk": (probes.FILLS_DISK, FailureClass.DISK, _ENOUGH_S),
    "run for longer": (probes.NEVER_ENDS, FailureClass.TIMEOUT, _SHORT_S),
}


def run(settings: Settings, found: Sequence[Image]) -> tuple[ProbedImage, ...]:
    """Try everything in the sandbox of each image; raise NodeError where there is no room for that."""
    return tuple(_tested(settings, image) for image in found)


class SelfTest:
    """The node's own: carried out in the background wherever an image is there that was not tested."""

    def __init__(self, settings: Settings, key: NodeKey) -> None:
        self._settings, self._key = settings, key
        self._tested: dict[str, ProbedImage] = {}
        self._signed: dict[str, Any] | None = None
        self._busy = threading.Lock()

    def signed(self) -> dict[str, Any] | None:
        """What the node has signed about the images that it has now; None before the first test has ended.

        Where one is new, its test begins.
        """
        found = images.installed(self._settings.images.folder)
        if any(image.digest not in self._tested for image in found) and self._busy.acquire(blocking=False):
            threading.Thread(target=self._test, args=(found,), name="self-test", daemon=True).start()
        return self._signed

    def _test(self, found: Sequence[Image]) -> None:
        try:
            for image in found:
                if image.digest not in self._tested:
                    (self._tested[image.digest],) = run(self._settings, [image])
            mine = [self._tested[image.digest] for image in found]
            said = statement(node=self._key.node, version=version("wheelfarm"), at=datetime.now(UTC), images=mine)
            self._signed = self._key.sign(said)
            for item in mine:
                log.info("self-test: %s: %s refused, let through: %s", item.name, item.refused, item.through or "none")
        except FarmError as err:
            log.warning("the self-test could not be carried out, it is tried again: %s", err)
        finally:
            self._busy.release()


def _tested(settings: Settings, image: Image) -> ProbedImage:
    let_through: dict[str, str] = {}
    with _folder(settings, image) as (job, said):
        let_through |= _look_around(settings, image, job, said)
    for name, (code, expected, within_s) in _BOMBS.items():
        with _folder(settings, image) as (job, said):
            if what := _explode((image, job, said), code, expected, within_s):
                let_through[name] = what
    total = len(probes.EXPRESSIONS) + len(_BOMBS)
    return ProbedImage(
        name=image.name,
        digest=image.digest,
        refused=total - len(let_through),
        through=tuple(f"{name}: {what}" for name, what in let_through.items()),
    )


@contextmanager
def _folder(settings: Settings, image: Image) -> Iterator[tuple[JobFolder, Log]]:
    node = settings.node
    # A running node has the build users before these, its trial the next, and a build alone the one after.
    uid = node.build_uid + node.slots + 2 if os.geteuid() == 0 else None
    name = f"self-test-{image.name}-{os.getpid()}"
    try:
        node.workspace.mkdir(parents=True, exist_ok=True)
        with (
            workspace.open_job(node.workspace, name, uid=uid, disk_bytes=_LIMITS.disk_bytes) as job,
            tempfile.TemporaryDirectory(prefix="wf-self-test-") as folder,
        ):
            yield job, Log(Path(folder) / "log", limit_bytes=_LIMITS.log_bytes)
    except OSError as err:
        raise NodeError(f"the self-test has no room: {err}") from err


def _sandbox(image: Image, job: JobFolder) -> Sandbox:
    binds = tuple(Bind(source=job.make(place), target=f"/{place}", writable=True) for place in ("build", "tmp"))
    return Sandbox(root=image.root, binds=binds, environment=image.variables, cwd="/build", uid=job.uid)


def _look_around(settings: Settings, image: Image, job: JobFolder, said: Log) -> dict[str, str]:
    box = _sandbox(image, job)
    with _targets(settings, job) as places:
        argv = (image.program, "-I", "-c", probes.SCRIPT, json.dumps(probes.filled(places)))
        sandbox.run(
            box,
            argv,
            limits=replace(_LIMITS, memory_bytes=2**30),
            log=said,
            deadline=time.monotonic() + _ENOUGH_S,
            scratch=[job.path],
            cancelled=threading.Event(),
        )
    return probes.through(_answers(box.binds[0].source / "answers"))


def _answers(file: Path) -> Any:  # noqa: ANN401 - read by ``probes.through``
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as opened:
            return json.loads(opened.read(_ANSWERS_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


@contextmanager
def _targets(settings: Settings, job: JobFolder) -> Iterator[dict[str, object]]:
    """What is really there to be found: listeners of ours, and a word in our environment."""
    token = secrets.token_hex(16)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as abstract,
        tempfile.TemporaryDirectory(prefix="wf-self-test-") as folder,
    ):
        path = str(Path(folder) / "socket")
        named.bind(path)
        named.listen()
        abstract.bind(f"\0{token}")
        abstract.listen()
        os.environ[_TOKEN] = token
        try:
            yield {
                "key": str(settings.node_keys / "node.key"),
                "outbox": str(settings.outbox),
                "workspace": str(job.path.parent),
                "token": token,
                "port": listener.getsockname()[1],
                "socket": path,
                "abstract": token,
            }
        finally:
            del os.environ[_TOKEN]


def _explode(where: tuple[Image, JobFolder, Log], code: str, expected: FailureClass, within_s: float) -> str:
    """What came of it where the limit did not hold; "" where it did."""
    image, job, said = where
    try:
        ended = sandbox.run(
            _sandbox(image, job),
            (image.program, "-I", "-c", code),
            limits=_LIMITS,
            log=said,
            deadline=time.monotonic() + within_s,
            scratch=[job.path],
            cancelled=threading.Event(),
        )
    except LimitExceededError as err:
        return "" if err.failure_class is expected else f"it was ended for another reason: {err}"
    # The kernel itself may refuse: no memory, no file any more.
    return "" if ended.exit_code else "it could"
