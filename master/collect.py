"""Take a finished attempt out of a node's outbox, believe nothing of it, and publish what stands every check."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import builds, crash, needs, publish
from master.hear import log_path
from master.store import Store, write_atomically
from schema import outbox
from schema.attest import verify
from schema.attest.authority import Authority
from schema.attest.statement import read_provenance
from schema.db.models import Build, Node
from schema.db.session import now, transaction
from schema.errors import StoreError, TrustError, WheelRejectedError, WireError
from schema.jobs import BuildResult, Lease, Limits, Outcome, WheelFile
from schema.names import NodeName, sha256_of
from schema.platforms import Platform
from schema.states import AttemptOutcome, BuildState, FailureClass
from schema.wheels.canonical import is_canonical
from schema.wheels.check import Expected, WheelFacts, check

log = logging.getLogger(__name__)

_JSON_LIMIT = 8 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Everything that taking a result needs; ``collect`` may be called again after any fault."""

    database: Engine
    store: Store
    logs: Path
    authority: Authority
    farm: str
    limits: Limits

    def collect(self, node: NodeName, lease: Lease) -> None:
        """Bring one attempt to its end.

        When this returns the node may forget the attempt; when it raises (StoreError, UnavailableError), nothing is
        lost: the node keeps the result, and mentions it again with its next heartbeat.
        """
        with transaction(self.database) as session:
            claimed = _claim(session, node, lease)
        if claimed is None:
            return
        crash.point("claimed")
        try:
            if outbox.entry(claimed.outbox, lease).is_dir():
                self._take(claimed, node, lease)
            else:
                self._give_back(node, lease)
        except (WireError, TrustError, WheelRejectedError) as err:
            self._refuse(node, lease, err)
        except OSError as err:
            raise StoreError(f"the result cannot be taken now: {err}") from err

    def _take(self, claimed: _Claimed, node: NodeName, lease: Lease) -> None:
        entry = outbox.entry(claimed.outbox, lease)
        result = _read_result(entry, node, lease)
        self._keep_log(entry, result)
        crash.point("log-kept")
        if result.wheel is None:
            with transaction(self.database) as session:
                _end_without_wheel(session, node, lease, result)
            return
        with self._fetched(entry, result.wheel) as wheel:
            crash.point("fetched")
            facts = check(wheel, claimed.expected)
            if not is_canonical(wheel):
                raise WheelRejectedError(f"{facts.filename}: not in canonical form; the node must repack it (T7)")
            crash.point("checked")
            attestation = _read_json(entry / outbox.ATTESTATION)
            self._verified(attestation, claimed, node, lease, facts)
            crash.point("verified")
            publish.publish(
                self.database,
                self.store,
                self.authority,
                publish.Accepted(
                    farm=self.farm,
                    node=node,
                    lease=lease,
                    platform=str(claimed.expected.platform),
                    wheel=wheel,
                    facts=facts,
                    attestation=attestation,
                    result=result,
                ),
            )

    def _verified(
        self, attestation: dict[str, Any], claimed: _Claimed, node: NodeName, lease: Lease, facts: WheelFacts
    ) -> None:
        """Raise TrustError unless the statement is signed by this node and says what the master itself sees."""
        with transaction(self.database) as session:
            at = now(session)
        verified = verify.attestation(attestation, authority_pem=self.authority.certificate_pem, at=at)
        said = read_provenance(verified.statement)
        known = {
            "node": (said.node, node),
            "build": (said.invocation_id, str(lease)),
            "sdist": (said.sdist_sha256, claimed.sdist_sha256),
            "platform": (said.platform, str(claimed.expected.platform)),
            "file name": (said.filename, facts.filename),
            "file": (said.sha256, facts.sha256),
        }
        for what, (theirs, ours) in known.items():
            if theirs != ours:
                raise TrustError(f"the statement of node {node} names the {what} {theirs!r}; it is {ours!r}")

    @contextmanager
    def _fetched(self, entry: Path, wheel: WheelFile) -> Iterator[Path]:
        """Our own copy of the wheel, under its own name: what is checked is what is stored."""
        self.store.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.store.folder, prefix=".checking-") as folder:
            copy = Path(folder) / wheel.filename
            source_path = entry / wheel.filename
            with (
                outbox.open_plain(source_path, limit_bytes=self.limits.wheel_bytes) as source,
                copy.open("wb") as target,
            ):
                shutil.copyfileobj(source, target)
            if sha256_of(copy) != wheel.sha256:
                raise WireError(f"{wheel.filename}: the bytes are not those that the node promised")
            yield copy

    def _keep_log(self, entry: Path, result: BuildResult) -> None:
        with outbox.open_plain(entry / outbox.LOG, limit_bytes=2 * self.limits.log_bytes) as file:
            write_atomically(log_path(self.logs, result.lease), file.read())

    def _give_back(self, node: NodeName, lease: Lease) -> None:
        with transaction(self.database) as session:
            if (build := builds.held_by(session, lease, node)) is not None:
                builds.give_back(session, build, why=f"its result is gone from the outbox of node {node}")

    def _refuse(self, node: NodeName, lease: Lease, err: Exception) -> None:
        """The node passed what does not stand: it is set aside, and the build goes to another."""
        log.error("build %s: the result of node %s is refused: %s", lease.build_id, node, err)
        with transaction(self.database) as session:
            row = session.get(Node, node)
            if row is not None and row.state == "active":
                row.state, row.state_reason = "quarantined", f"its result of build {lease.build_id} was refused: {err}"
            build = builds.held_by(session, lease, node)
            if build is None:
                return
            builds.end_attempt(
                builds.attempt_of(session, lease),
                at=now(session),
                outcome=AttemptOutcome.FAILED,
                failure_class=FailureClass.NODE,
                message=f"refused by the master: {err}",
            )
            session.flush()
            builds.fail(session, build, failure_class=FailureClass.NODE, message=f"the result was refused: {err}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claimed:
    outbox: Path
    expected: Expected
    sdist_sha256: str


def _claim(session: Session, node: NodeName, lease: Lease) -> _Claimed | None:
    """Mark the build as being collected; None if the node does not hold this lease any more."""
    build = builds.held_by(session, lease, node)
    row = session.get(Node, node)
    if build is None or row is None:
        return None
    if build.state == BuildState.LEASED:
        reason = f"node {node} has finished; the master checks"
        held = {"leased_to": build.leased_to, "lease_until": build.lease_until}
        if not builds.move(session, build, BuildState.COLLECTING, reason=reason, **held):
            return None
    return _Claimed(
        outbox=Path(row.outbox),
        expected=expected_of(build),
        sdist_sha256=build.sdist.sha256 or "" if build.sdist else "",
    )


def expected_of(build: Build) -> Expected:
    """What the wheel of this build must be."""
    return Expected(
        project=NormalizedName(build.project.name),
        version=Version(build.version),
        platform=Platform.parse(build.platform),
        build_number=build.build_number,
    )


def _read_result(entry: Path, node: NodeName, lease: Lease) -> BuildResult:
    result = BuildResult.from_json(_read_json(entry / outbox.RESULT))
    if (result.node, result.lease) != (node, lease):
        raise WireError(f"{entry.name}: holds the result of build {result.lease} by node {result.node}")
    return result


def _read_json(path: Path) -> dict[str, Any]:
    with outbox.open_plain(path, limit_bytes=_JSON_LIMIT) as file:
        try:
            data = json.loads(file.read())
        except (ValueError, RecursionError) as err:
            raise WireError(f"{path.name}: not JSON: {err}") from err
    if not isinstance(data, dict):
        raise WireError(f"{path.name}: not an object")
    return data


def _end_without_wheel(session: Session, node: NodeName, lease: Lease, result: BuildResult) -> None:
    build = builds.held_by(session, lease, node)
    if build is None:
        return
    attempt = builds.attempt_of(session, lease)
    failure_class = result.failure_class or FailureClass.NODE
    if result.outcome is Outcome.NODE:
        failure_class = FailureClass.NODE
    cancelled = result.outcome is Outcome.CANCELLED
    outcome = AttemptOutcome.CANCELLED if cancelled else AttemptOutcome.FAILED
    builds.end_attempt(
        attempt, at=result.finished_at, outcome=outcome, failure_class=failure_class, message=result.message
    )
    builds.keep_details(attempt, result)
    session.flush()
    if result.missing and failure_class is FailureClass.REQUIREMENT:
        needs.wait(session, build, result.missing)
        return
    builds.fail(session, build, failure_class=failure_class, message=result.evidence or result.message)
