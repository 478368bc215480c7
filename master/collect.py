"""Take a finished attempt out of a node's outbox, believe nothing of it, and publish what stands every check."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import aside, builds, crash, fallback, needs, outboxes, publish, repeats, rule_counts, taking
from master.accepted import Accepted
from master.outboxes import Outbox, Reach
from master.store import Store
from master.taking import Fetched
from schema.attest import verify
from schema.attest.authority import Authority
from schema.attest.statement import read_provenance
from schema.db import scoring
from schema.db.models import Build, HostKey, Node
from schema.db.session import now, transaction
from schema.errors import (
    FarmError,
    HostKeyError,
    SignatureError,
    StoreError,
    TransferError,
    TrustError,
    UnreachableError,
    WheelRejectedError,
    WireError,
)
from schema.jobs import BuildResult, Lease, Limits, Outcome
from schema.names import NodeName
from schema.platforms import Platform
from schema.recipes import MOST_LOG
from schema.sections import RepeatSection
from schema.states import AttemptOutcome, BuildState, FailureClass
from schema.wheels.canonical import is_canonical
from schema.wheels.check import Expected, check

log = logging.getLogger(__name__)

# So often is a result fetched again whose bytes are not the promised ones, before its node is to blame.
_TRANSFERS_AGAIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Everything that taking a result needs; ``collect`` may be called again after any fault, and by several threads.

    reach: how outboxes on other machines are reached
    settling: held by the one that checks and publishes; what may be slow, fetching, others do meanwhile
    retry_s: the unit of the pauses before a build is tried again
    recipe_folders: the operator's, before the shipped ones
    repeat: which builds are built once more after they were published
    damaged: how often the bytes of a result were not the promised ones
    """

    database: Engine
    store: Store
    logs: Path
    authority: Authority
    farm: str
    limits: Limits
    reach: Reach
    retry_s: float = 60.0
    recipe_folders: Sequence[Path] = ()
    repeat: RepeatSection = field(default_factory=RepeatSection)
    damaged: Counter[tuple[NodeName, Lease]] = field(default_factory=Counter)
    settling: threading.Lock = field(default_factory=threading.Lock)

    def collect(self, node: NodeName, lease: Lease) -> None:
        """Bring one attempt to its end.

        When this returns the node may forget the attempt; when it raises (StoreError, TransferError, UnavailableError,
        UnreachableError), nothing is lost: the node keeps the result, and mentions it again with its next heartbeat.
        """
        with transaction(self.database) as session:
            claimed = _claim(session, node, lease)
        if claimed is None:
            self.damaged.pop((node, lease), None)
            return
        crash.point("claimed")
        try:
            with ExitStack() as kept:
                # The connection is not held while others are waited for.
                with outboxes.opened(node, claimed.outbox, host_key=claimed.host_key, reach=self.reach) as box:
                    fetched = self._fetch(box, node, lease, kept)
                if claimed.is_remote:
                    with transaction(self.database) as session:
                        aside.within_reach(session, node)
                if fetched is None:
                    self._give_back(node, lease, f"its result is gone from the outbox of node {node}")
                else:
                    with self.settling:
                        self._settle(fetched, claimed, node, lease)
        except TransferError as err:
            self.damaged[node, lease] += 1
            if self.damaged[node, lease] <= _TRANSFERS_AGAIN:
                raise
            self._refuse(node, lease, err)
        except UnreachableError as err:
            with transaction(self.database) as session:
                aside.out_of_reach(session, node, str(err))
            raise
        except HostKeyError as err:
            with transaction(self.database) as session:
                aside.set_aside(session, node, str(err))
            self._give_back(node, lease, f"another machine may answer for node {node}", blame=False)
        except (WireError, TrustError, WheelRejectedError) as err:
            self._refuse(node, lease, err)
        except OSError as err:
            raise StoreError(f"the result cannot be taken now: {err}") from err
        self.damaged.pop((node, lease), None)

    def _fetch(self, box: Outbox, node: NodeName, lease: Lease, kept: ExitStack) -> Fetched | None:
        """None where the attempt is gone."""
        if not box.has(lease):
            return None
        return taking.take(box, node, lease, store=self.store.folder, logs=self.logs, limits=self.limits, kept=kept)

    def _settle(self, fetched: Fetched, claimed: _Claimed, node: NodeName, lease: Lease) -> None:
        result = fetched.result
        if fetched.wheel is None:
            with transaction(self.database) as session:
                self._end_without_wheel(session, node, lease, result, fetched.log)
            return
        self._verify(fetched.attestation, claimed, node, lease, result)
        crash.point("verified")
        facts = check(fetched.wheel, claimed.expected)
        if not is_canonical(fetched.wheel):
            raise WheelRejectedError(f"{facts.filename}: not in canonical form; the node must repack it (T7)")
        crash.point("checked")
        accepted = Accepted(
            farm=self.farm,
            node=node,
            lease=lease,
            platform=str(claimed.expected.platform),
            wheel=fetched.wheel,
            facts=facts,
            attestation=fetched.attestation,
            result=result,
        )
        if claimed.is_repeat:
            repeats.settle(self.database, self.store, accepted)
        else:
            publish.publish(self.database, self.store, self.authority, accepted, repeat=self.repeat)

    def _verify(
        self, attestation: dict[str, Any], claimed: _Claimed, node: NodeName, lease: Lease, result: BuildResult
    ) -> None:
        """Raise TrustError unless the node has signed for what the master itself knows.

        Where the signature does not hold, or is for other bytes than came, the transfer may be at fault: TransferError.
        """
        with transaction(self.database) as session:
            at = now(session)
        try:
            verified = verify.attestation(attestation, authority_pem=self.authority.certificate_pem, at=at)
        except SignatureError as err:
            raise TransferError(f"the statement of node {node}: {err}") from err
        if verified.key in claimed.revoked_keys:
            raise TrustError(f"the statement of node {node} is signed with a key that was revoked")
        said = read_provenance(verified.statement)
        wheel = result.wheel
        _agree(
            node,
            TransferError,
            {
                "file": (said.sha256, wheel.sha256 if wheel else None),
                "log": (said.log_sha256, result.log_sha256),
            },
        )
        _agree(
            node,
            TrustError,
            {
                "node": (said.node, node),
                "build": (said.invocation_id, str(lease)),
                "sdist": (said.sdist_sha256, claimed.sdist_sha256),
                "platform": (said.platform, str(claimed.expected.platform)),
                "file name": (said.filename, wheel.filename if wheel else None),
            },
        )

    def _end_without_wheel(
        self, session: Session, node: NodeName, lease: Lease, result: BuildResult, log_bytes: bytes
    ) -> None:
        build = builds.held_by(session, lease, node, for_update=True)
        if build is None:
            return
        attempt = builds.attempt_of(session, lease)
        failure_class = result.failure_class or FailureClass.NODE
        if result.outcome is Outcome.NODE:
            failure_class = FailureClass.NODE
        cancelled = result.outcome is Outcome.CANCELLED
        outcome = AttemptOutcome.CANCELLED if cancelled else AttemptOutcome.FAILED
        builds.end_attempt(
            session,
            attempt,
            at=result.finished_at,
            outcome=outcome,
            failure_class=failure_class,
            message=result.message,
        )
        builds.keep_details(attempt, result)
        rule_counts.count(session, attempt, result)
        scoring.learn(session, build, result.resources, built=False)
        if result.missing and failure_class is FailureClass.REQUIREMENT and not build.is_repeat:
            needs.wait(session, build, result.missing)
            return
        message = result.evidence or result.message
        builds.fail(session, build, failure_class=failure_class, message=message, retry_s=self.retry_s)
        said = log_bytes[-MOST_LOG:].decode(errors="replace")
        fallback.follow(
            session, build, (failure_class, said), recipe_folders=self.recipe_folders, today=now(session).date()
        )

    def _give_back(self, node: NodeName, lease: Lease, why: str, *, blame: bool = True) -> None:
        with transaction(self.database) as session:
            if (build := builds.held_by(session, lease, node, for_update=True)) is not None:
                builds.give_back(session, build, why=why, blame=blame)

    def _refuse(self, node: NodeName, lease: Lease, err: Exception) -> None:
        """The node passed what does not stand: it is set aside, and the build goes to another."""
        log.error("build %s: the result of node %s is refused: %s", lease.build_id, node, err)
        with transaction(self.database) as session:
            aside.set_aside(session, node, f"its result of build {lease.build_id} was refused: {err}")
            build = builds.held_by(session, lease, node, for_update=True)
            if build is None:
                return
            builds.end_attempt(
                session,
                builds.attempt_of(session, lease),
                at=now(session),
                outcome=AttemptOutcome.FAILED,
                failure_class=FailureClass.NODE,
                message=f"refused by the master: {err}",
            )
            session.flush()
            builds.fail(
                session,
                build,
                failure_class=FailureClass.NODE,
                message=f"the result was refused: {err}",
                retry_s=self.retry_s,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claimed:
    outbox: str
    host_key: str
    is_remote: bool
    expected: Expected
    sdist_sha256: str
    is_repeat: bool
    revoked_keys: frozenset[str]


def _claim(session: Session, node: NodeName, lease: Lease) -> _Claimed | None:
    """Mark the build as being collected; None if the node does not hold this lease any more."""
    build = builds.held_by(session, lease, node, for_update=True)
    row = session.get(Node, node)
    if build is None or row is None:
        return None
    if build.state == BuildState.LEASED:
        reason = f"node {node} has finished; the master checks"
        held = {"leased_to": build.leased_to, "lease_until": build.lease_until}
        if not builds.move(session, build, BuildState.COLLECTING, reason=reason, **held):
            return None
    pinned = session.get(HostKey, node)
    return _Claimed(
        outbox=row.outbox,
        host_key=pinned.key if pinned else "",
        is_remote=pinned is not None,
        expected=expected_of(build),
        sdist_sha256=build.sdist.sha256 or "" if build.sdist else "",
        is_repeat=build.is_repeat,
        revoked_keys=frozenset(row.revoked_keys),
    )


def expected_of(build: Build) -> Expected:
    """What the wheel of this build must be."""
    return Expected(
        project=NormalizedName(build.project.name),
        version=Version(build.version),
        platform=Platform.parse(build.platform),
        build_number=build.wheel_number,
    )


def _agree(node: NodeName, error: type[FarmError], known: Mapping[str, tuple[str, str | None]]) -> None:
    for what, (theirs, ours) in known.items():
        if theirs != ours:
            raise error(f"the statement of node {node} names the {what} {theirs!r}; it is {ours!r}")
