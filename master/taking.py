"""Bring a whole attempt over from a node's outbox: what it says came of it, its log, its wheel, its statement."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from master import crash, transfer
from master.hear import log_path
from master.outboxes import Outbox
from master.store import write_atomically
from schema.jobs import BuildResult, Lease, Limits
from schema.names import NodeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An attempt as it came; nothing of it was checked but that the bytes are the promised ones."""

    result: BuildResult
    log: bytes
    wheel: Path | None = None
    attestation: dict[str, Any] = field(default_factory=dict)


def take(
    box: Outbox, node: NodeName, lease: Lease, *, store: Path, logs: Path, limits: Limits, kept: ExitStack
) -> Fetched:
    """Fetch all of it; the log is kept among *logs*, the copy of the wheel lies below *store* until *kept* is closed.

    Raise what ``master.transfer`` raises, and OSError where it is this machine that cannot.
    """
    result = transfer.read_result(box, node, lease)
    log_bytes = transfer.read_log(box, result, limit_bytes=2 * limits.log_bytes)
    write_atomically(log_path(logs, lease), log_bytes)
    crash.point("log-kept")
    if result.wheel is None:
        return Fetched(result=result, log=log_bytes)
    wheel = kept.enter_context(transfer.copied(box, lease, result.wheel, into=store, limit_bytes=limits.wheel_bytes))
    crash.point("fetched")
    attestation = transfer.read_attestation(box, lease)
    return Fetched(result=result, log=log_bytes, wheel=wheel, attestation=attestation)
