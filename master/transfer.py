"""Copy a finished attempt out of a node's outbox: what comes over is compared with what the node said of it.

A file that cannot be taken as it is (a link, a pipe, one that is missing or too big) is the node's doing: WireError.
Bytes that are not the promised ones, or make no sense, may be damaged on the way: TransferError, worth another try.
A node that does not answer now (UnreachableError) keeps its results; what of a wheel came over is kept here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any

from master.outboxes import Outbox
from schema import outbox
from schema.errors import TransferError, UnreachableError, WireError
from schema.jobs import BuildResult, Lease, WheelFile
from schema.names import NodeName, Sha256

_JSON_LIMIT = 8 * 2**20


def read_result(box: Outbox, node: NodeName, lease: Lease) -> BuildResult:
    """What the node says came of the attempt."""
    data = _read_json(box, lease, outbox.RESULT)
    try:
        result = BuildResult.from_json(data)
    except WireError as err:
        raise TransferError(f"{outbox.RESULT}: {err}") from err
    if (result.node, result.lease) != (node, lease):
        raise TransferError(f"{lease}: holds the result of build {result.lease} by node {result.node}")
    return result


def read_attestation(box: Outbox, lease: Lease) -> dict[str, Any]:
    """The node's signed statement; nothing of it is checked yet."""
    return _read_json(box, lease, outbox.ATTESTATION)


def read_log(box: Outbox, result: BuildResult, *, limit_bytes: int) -> bytes:
    """The whole log of the attempt."""
    data = _whole(box, result.lease, outbox.LOG, limit_bytes=limit_bytes)
    _compare(outbox.LOG, Sha256(hashlib.sha256(data).hexdigest()), result.log_sha256)
    return data


@contextmanager
def copied(box: Outbox, lease: Lease, wheel: WheelFile, *, into: Path, limit_bytes: int) -> Iterator[Path]:
    """Our own copy of the wheel, under its own name in a new folder in *into*: what is checked is what is stored.

    Where the node stops answering, what came is kept beside, and the next call goes on from there.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".checking-") as folder:
        copy = Path(folder) / wheel.filename
        partial = into / f".partial-{lease}-{wheel.sha256}"
        with _only_here(partial) as file:
            try:
                found = _completed(file, box, lease, wheel, limit_bytes=limit_bytes)
                _compare(wheel.filename, found, wheel.sha256)
                partial.rename(copy)
            except UnreachableError:
                raise
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        yield copy


def _completed(file: BufferedRandom, box: Outbox, lease: Lease, wheel: WheelFile, *, limit_bytes: int) -> Sha256:
    """Add to *file* what it lacks of the wheel; the digest is of the whole."""
    digest = hashlib.file_digest(file, hashlib.sha256)
    held = file.tell()
    chunks = box.chunks(lease, wheel.filename, limit_bytes=limit_bytes, offset=held)
    for chunk in _bounded(chunks, wheel.filename, limit_bytes - held):
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return Sha256(digest.hexdigest())


@contextmanager
def _only_here(partial: Path) -> Iterator[BufferedRandom]:
    """The file, open at its beginning; raise UnreachableError while a master that just stopped leading writes to it."""
    with partial.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had the lock may have moved the file away, or removed it, since it was opened here.
            mine = os.path.samestat(os.fstat(file.fileno()), partial.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:
            raise UnreachableError(f"{partial.name} is being fetched already")
        file.seek(0)
        yield file


def _compare(name: str, found: Sha256, promised: Sha256) -> None:
    if found != promised:
        raise TransferError(f"{name}: the bytes are not those that the node promised")


def _bounded(chunks: Iterable[bytes], name: str, most: int) -> Iterator[bytes]:
    """A size that was told may be a lie: what counts is what comes."""
    came = 0
    for chunk in chunks:
        came += len(chunk)
        if came > most:
            raise WireError(f"{name}: more bytes come than are taken")
        yield chunk


def _whole(box: Outbox, lease: Lease, name: str, *, limit_bytes: int) -> bytes:
    return b"".join(_bounded(box.chunks(lease, name, limit_bytes=limit_bytes), name, limit_bytes))


def _read_json(box: Outbox, lease: Lease, name: str) -> dict[str, Any]:
    try:
        data = json.loads(_whole(box, lease, name, limit_bytes=_JSON_LIMIT))
    except (ValueError, RecursionError) as err:
        raise TransferError(f"{name}: not JSON: {err}") from err
    if not isinstance(data, dict):
        raise TransferError(f"{name}: not an object")
    return data
