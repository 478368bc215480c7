"""Leave the results of finished attempts where the master finds them: whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from schema import outbox
from schema.jobs import BuildResult, Lease


def leave(
    folder: Path, result: BuildResult, *, log: Path, wheel: Path | None, attestation: dict[str, Any] | None
) -> None:
    """Put one attempt's result, log and (if it built) wheel and attestation into the outbox by one rename."""
    folder.mkdir(parents=True, exist_ok=True)
    target = outbox.entry(folder, result.lease)
    incoming = folder / f".incoming-{result.lease}"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir()
    shutil.copyfile(log, incoming / outbox.LOG)
    if wheel is not None:
        shutil.copyfile(wheel, incoming / wheel.name)
    if attestation is not None:
        (incoming / outbox.ATTESTATION).write_text(json.dumps(attestation))
    (incoming / outbox.RESULT).write_text(json.dumps(result.to_json()))
    for file in incoming.iterdir():
        _sync(file, os.O_RDONLY)
    shutil.rmtree(target, ignore_errors=True)
    incoming.rename(target)
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def forget(folder: Path, lease: Lease) -> None:
    """The master has taken it, or does not want it: remove the attempt; fine if it is gone."""
    shutil.rmtree(outbox.entry(folder, lease), ignore_errors=True)


def clean(folder: Path) -> None:
    """Remove what a killed node left half-written."""
    for leftover in folder.glob(".incoming-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
