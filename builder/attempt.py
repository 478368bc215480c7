"""One attempt at one job on this node: build, sign, and leave the result in the outbox, whatever happens."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from builder import build as building
from builder import outbox
from builder.log import Log
from builder.workshop import Workshop
from schema.attest import statement
from schema.attest.authority import NodeKey
from schema.errors import JobError, NodeError, TrustError
from schema.jobs import BuildJob, BuildResult, Outcome, Step, WheelFile
from schema.names import NodeName, sha256_of
from schema.states import FailureClass

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A job while this node works on it; other threads read ``steps`` and ``log`` and set ``cancelled``."""

    job: BuildJob
    log: Log
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: tuple[Step, ...] = ()
    cancelled: threading.Event = field(default_factory=threading.Event)

    def note_steps(self, steps: tuple[Step, ...]) -> None:
        """The build has come further."""
        self.steps = steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every attempt on this node shares."""

    farm: str
    node: NodeName
    key: NodeKey
    isolation: str
    workshop: Workshop
    outbox: Path


def carry_out(attempt: Attempt, bench: Bench) -> BuildResult:
    """Build, sign and leave the result in the outbox; never raise for what a job or a node can do wrong."""
    try:
        with building.build(
            attempt.job, bench.workshop, log=attempt.log, on_step=attempt.note_steps, cancelled=attempt.cancelled
        ) as built:
            return _leave_wheel(attempt, bench, built)
    except Exception as err:
        if not isinstance(err, (JobError, NodeError, TrustError, OSError)):
            log.exception("build %s: the node itself failed", attempt.job.lease)
        result = failed(attempt, err, node=bench.node)
        outbox.leave(bench.outbox, result, log=attempt.log.path, wheel=None, attestation=None)
        return result


def succeeded(attempt: Attempt, built: building.Built, *, node: NodeName) -> BuildResult:
    """The result of an attempt that gave a wheel; its log is whole."""
    facts = built.facts
    return BuildResult(
        node=node,
        lease=attempt.job.lease,
        outcome=Outcome.BUILT,
        started_at=attempt.started_at,
        finished_at=datetime.now(UTC),
        steps=attempt.steps,
        log_sha256=sha256_of(attempt.log.path),
        tries=built.tries,
        remedies=built.remedies,
        runtime_packages=built.runtime_packages,
        portability=built.portability,
        wheel=WheelFile(filename=facts.filename, sha256=facts.sha256, size_bytes=facts.size_bytes),
        materials=built.materials,
        environment=dict(built.environment),
        resources=dict(built.resources),
        usage=built.usage,
    )


def failed(attempt: Attempt, err: Exception, *, node: NodeName) -> BuildResult:
    """The result of an attempt that *err* ended; its log ends with that."""
    outcome = _outcome(err)
    attempt.log.step(f"{outcome}: {err}")
    return BuildResult(
        node=node,
        lease=attempt.job.lease,
        outcome=outcome,
        started_at=attempt.started_at,
        finished_at=datetime.now(UTC),
        steps=attempt.steps,
        log_sha256=sha256_of(attempt.log.path),
        failure_class=err.failure_class if isinstance(err, JobError) else FailureClass.NODE,
        message=str(err)[:2000],
        evidence=getattr(err, "evidence", "")[:2000],
        line=getattr(err, "line", None),
        tries=getattr(err, "tries", ()),
        missing=getattr(err, "missing", ()),
        resources=dict(getattr(err, "resources", {})),
        usage=getattr(err, "usage", ()),
    )


def _outcome(err: Exception) -> Outcome:
    if not isinstance(err, JobError):
        return Outcome.NODE
    return Outcome.CANCELLED if err.failure_class is FailureClass.CANCELLED else Outcome.FAILED


def _leave_wheel(attempt: Attempt, bench: Bench, built: building.Built) -> BuildResult:
    result = succeeded(attempt, built, node=bench.node)
    assert result.wheel is not None  # noqa: S101 - for mypy: it succeeded
    signed = bench.key.sign(
        statement.provenance(
            job=replace(attempt.job, recipe=built.recipe),
            farm=bench.farm,
            node=bench.node,
            wheel=result.wheel,
            started_at=result.started_at,
            finished_at=result.finished_at,
            materials=result.materials,
            environment=result.environment,
            log_sha256=result.log_sha256,
            isolation=bench.isolation,
        )
    )
    outbox.leave(bench.outbox, result, log=attempt.log.path, wheel=built.wheel, attestation=signed)
    return result
