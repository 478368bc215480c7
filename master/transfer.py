"""Copy a finished attempt out of a node's outbox: what comes over is compared with what the node said of it.

A file that cannot be taken as it is (a link, a pipe, one that is missing or too big) is the node's doing: WireError.
Bytes that are not the promised ones, or make no sense, may be damaged on the way: TransferError, worth another try.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from schema import outbox
from schema.errors import TransferError, WireError
from schema.jobs import BuildResult, Lease, WheelFile
from schema.names import NodeName, Sha256

_JSON_LIMIT = 8 * 2**20
_CHUNK = 1 << 20


def read_result(entry: Path, node: NodeName, lease: Lease) -> BuildResult:
    """What the node says came of the attempt."""
    data = _read_json(entry / outbox.RESULT)
    try:
        result = BuildResult.from_json(data)
    except WireError as err:
        raise TransferError(f"{outbox.RESULT}: {err}") from err
    if (result.node, result.lease) != (node, lease):
        raise TransferError(f"{entry.name}: holds the result of build {result.lease} by node {result.node}")
    return result


def read_attestation(entry: Path) -> dict[str, Any]:
    """The node's signed statement; nothing of it is checked yet."""
    return _read_json(entry / outbox.ATTESTATION)


def read_log(entry: Path, result: BuildResult, *, limit_bytes: int) -> bytes:
    """The whole log of the attempt."""
    with outbox.open_plain(entry / outbox.LOG, limit_bytes=limit_bytes) as file:
        data = b"".join(_chunks(file, outbox.LOG))
    _compare(outbox.LOG, Sha256(hashlib.sha256(data).hexdigest()), result.log_sha256)
    return data


@contextmanager
def copied(entry: Path, wheel: WheelFile, *, into: Path, limit_bytes: int) -> Iterator[Path]:
    """Our own copy of the wheel, under its own name in a new folder in *into*: what is checked is what is stored."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".checking-") as folder:
        copy = Path(folder) / wheel.filename
        digest = hashlib.sha256()
        with (
            outbox.open_plain(entry / wheel.filename, limit_bytes=limit_bytes) as source,
            copy.open("wb") as target,
        ):
            for chunk in _chunks(source, wheel.filename):
                digest.update(chunk)
                target.write(chunk)
        _compare(wheel.filename, Sha256(digest.hexdigest()), wheel.sha256)
        yield copy


def _compare(name: str, found: Sha256, promised: Sha256) -> None:
    if found != promised:
        raise TransferError(f"{name}: the bytes are not those that the node promised")


def _chunks(file: BinaryIO, name: str) -> Iterator[bytes]:
    try:
        while chunk := file.read(_CHUNK):
            yield chunk
    except OSError as err:
        raise TransferError(f"{name}: cannot be read: {err.strerror}") from err


def _read_json(path: Path) -> dict[str, Any]:
    with outbox.open_plain(path, limit_bytes=_JSON_LIMIT) as file:
        text = b"".join(_chunks(file, path.name))
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise TransferError(f"{path.name}: not JSON: {err}") from err
    if not isinstance(data, dict):
        raise TransferError(f"{path.name}: not an object")
    return data
