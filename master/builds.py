"""Every change of a build's state: each is one conditional UPDATE, checked against the table in ``schema.states``."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from master import crash, failures, needs, repeats
from master.webhooks import events
from schema.causes import AGAIN_AFTER
from schema.db import counts as build_counts
from schema.db import hours, scoring, totals
from schema.db.models import Attempt, Build, DirtyPage, Node
from schema.db.session import insert as insert_into
from schema.db.session import now
from schema.jobs import BuildResult, Lease
from schema.names import NodeName
from schema.sizes import LARGEST
from schema.states import (
    LEASED_STATES,
    POISONED_AFTER_LOSSES,
    POISONED_AFTER_NODES,
    RETRY,
    TRANSITIONS,
    AttemptOutcome,
    BuildState,
    FailureClass,
    RetryPolicy,
)

log = logging.getLogger(__name__)

Locking = TypeVar("Locking", bound="Select[*tuple[Any, ...]]")

_FAILED = frozenset({BuildState.FAILED, BuildState.POISONED})

counts = build_counts.counts
recount = build_counts.recount


def insert(session: Session, build: Build) -> Build:
    """Add a new build, counted and with its page marked; raise IntegrityError if the farm has that very build.

    Whoever inserts has it scored (``schema.db.scoring``), once for all: 0, the score until then, is a high one.
    """
    session.add(build)
    session.flush()
    build_counts.note(session, build.platform, entered=build.state)
    touch_page(session, build.project_id)
    if build.state == BuildState.FAILED:
        failures.mark(session, build.id)
        events.build_failed(session, build)
    return build


def move(
    session: Session,
    build: Build,
    to: BuildState,
    *,
    reason: str,
    **values: Any,  # noqa: ANN401 - further columns of Build
) -> bool:
    """Move *build* to the state *to* if it is still where it was read; say whether that happened.

    The fence must be the one that was read, too: a late message changes nothing. A move ends every pause, unless it
    begins one (*not_before* among *values*).
    values: further columns to set in the same UPDATE
    """
    if to not in TRANSITIONS[BuildState(build.state)]:
        raise ValueError(f"build {build.id}: no move from {build.state} to {to}")
    values = {"not_before": None, **values}
    if to not in LEASED_STATES:
        values = {"leased_to": None, "lease_until": None, **values}
    if to is not BuildState.WAITING:
        values = {"waits_for": None, **values}
    result = session.execute(
        update(Build)
        .where(Build.id == build.id, Build.state == build.state, Build.fence == build.fence)
        .values(state=to, reason=reason, changed_at=now(session), **values)
        .execution_options(synchronize_session=False)
    )
    moved = bool(result.rowcount)  # type: ignore[attr-defined]
    if moved:
        build_counts.note(session, build.platform, left=build.state, entered=to)
        if BuildState.FAILED in {build.state, to}:
            failures.mark(session, build.id)
        log.info("build %s: %s -> %s: %s", build.id, build.state, to, reason)
        session.refresh(build)
        touch_page(session, build.project_id)
        if to in _FAILED:
            events.build_failed(session, build)
        if to in needs.ENDS:
            needs.ended(session, build)
            crash.point("ended-needs-told")
        if build.is_repeat and to in repeats.GIVEN_UP:
            repeats.given_up(session, build)
    return moved


def touch_page(session: Session, project_id: int) -> None:
    """Have the project's index pages rendered again; two threads may mark the same page at once."""
    marked = insert_into(session, DirtyPage).values(project_id=project_id, revision=1)
    session.execute(
        marked.on_conflict_do_update(index_elements=[DirtyPage.project_id], set_={"revision": DirtyPage.revision + 1})
    )


def extend(session: Session, leases: Collection[Lease], *, node: NodeName, lease_s: float) -> None:
    """A heartbeat: the leases that this node really holds live on."""
    until = now(session) + timedelta(seconds=lease_s)
    for item in sorted(leases):
        session.execute(
            update(Build)
            .where(
                Build.id == item.build_id,
                Build.fence == item.fence,
                Build.leased_to == node,
                Build.state.in_(LEASED_STATES),
            )
            .values(lease_until=until)
            .execution_options(synchronize_session=False)
        )


def held_by(session: Session, item: Lease, node: NodeName, *, for_update: bool = False) -> Build | None:
    """The build, if that node holds that very lease.

    for_update: whoever decides by what it reads keeps the row to the end of the transaction; others wait for it
    """
    held = select(Build).where(
        Build.id == item.build_id,
        Build.fence == item.fence,
        Build.leased_to == node,
        Build.state.in_(LEASED_STATES),
    )
    return session.scalar(locked(held) if for_update else held)


def locked(query: Locking, *, skip: bool = False) -> Locking:
    """*query*, its builds as they are now and kept from others; on SQLite every writing transaction does so.

    skip: leave out those that somebody else keeps
    """
    return query.with_for_update(of=Build, skip_locked=skip).execution_options(populate_existing=True)


def attempt_of(session: Session, item: Lease) -> Attempt:
    """The row of that attempt; raise LookupError if it was never granted."""
    found = session.scalar(select(Attempt).where(Attempt.build_id == item.build_id, Attempt.fence == item.fence))
    if found is None:
        raise LookupError(f"attempt {item} was never granted")
    return found


def end_attempt(
    session: Session,
    attempt: Attempt,
    *,
    at: datetime,
    outcome: AttemptOutcome,
    failure_class: FailureClass | None = None,
    message: str = "",
) -> None:
    """Close the row of an attempt that still runs, and count it."""
    if attempt.finished_at is None:
        attempt.finished_at = at
        attempt.outcome = outcome
        attempt.failure_class = failure_class
        attempt.message = message
        platform, what = attempt.build.platform, failure_class or outcome
        hours.note(session, platform, what)
        seconds = (at - attempt.started_at).total_seconds()
        totals.note(session, platform, outcome=outcome, what=what, seconds=seconds)


def give_back(session: Session, build: Build, *, why: str, blame: bool = True) -> None:
    """The lease ended without a result: queue the build again, or poison it once it lost too many nodes.

    blame: False where only a message was lost: then the node is not counted
    """
    held = Lease(build_id=build.id, fence=build.fence)
    outcome = AttemptOutcome.LOST if blame else AttemptOutcome.CANCELLED
    end_attempt(
        session,
        attempt_of(session, held),
        at=now(session),
        outcome=outcome,
        failure_class=FailureClass.LOST if blame else FailureClass.CANCELLED,
        message=why,
    )
    session.flush()
    nodes, losses = session.execute(
        select(func.count(Attempt.node.distinct()), func.count()).where(
            Attempt.build_id == build.id,
            Attempt.outcome == AttemptOutcome.LOST,
            Attempt.fence > build.pardoned_fence,
        )
    ).one()
    if nodes >= POISONED_AFTER_NODES or losses >= POISONED_AFTER_LOSSES:
        reason = f"lost {losses} times with {nodes} node(s); a person must look (wheelfarm retry {build.id})"
        move(session, build, BuildState.POISONED, reason=reason)
    else:
        move(session, build, BuildState.QUEUED, reason=f"again: {why}")
        scoring.rescore(session, [build])


def fail(session: Session, build: Build, *, failure_class: FailureClass, message: str, retry_s: float) -> None:
    """An attempt ended without a wheel: try again as the class allows (``RETRY``), else the failure stands.

    The reason is ``CLASS: MESSAGE`` where it stands, else ``again after CLASS: MESSAGE``: queued, or waiting for
    its pause to end. retry_s: the unit of the pauses
    """
    policy = RETRY[failure_class]
    failures = (
        session.scalar(
            select(func.count()).where(
                Attempt.build_id == build.id,
                Attempt.failure_class == failure_class,
                Attempt.fence > build.pardoned_fence,
            )
        )
        or 0
    )
    reason = f"{failure_class}: {message}"
    if failures > policy.retries or (policy.elsewhere and not _could_go_elsewhere(session, build, policy)):
        move(session, build, BuildState.FAILED, reason=reason)
        return
    size = min(build.size + 1, LARGEST) if policy.bigger else build.size
    pause_s = policy.pause_s(failures, retry_s=retry_s)
    if pause_s:
        pause(session, build, pause_s, reason=f"{AGAIN_AFTER}{reason}", size=size)
    else:
        move(session, build, BuildState.QUEUED, reason=f"{AGAIN_AFTER}{reason}", size=size)
    scoring.rescore(session, [build])


def pause(session: Session, build: Build, pause_s: float, *, reason: str, **values: Any) -> bool:  # noqa: ANN401
    """Have *build* wait for *pause_s* seconds; ``master.ripen`` queues it then. Otherwise as ``move``."""
    not_before = now(session) + timedelta(seconds=pause_s)
    return move(session, build, BuildState.WAITING, reason=reason, not_before=not_before, **values)


def _could_go_elsewhere(session: Session, build: Build, policy: RetryPolicy) -> bool:
    """Whether an active node offers the platform that has not tried; and has more memory, where that matters."""
    tried = set(
        session.scalars(select(Attempt.node).where(Attempt.build_id == build.id, Attempt.fence > build.pardoned_fence))
    )
    nodes = [node for node in session.scalars(select(Node)) if build.platform in node.platforms]
    most_bytes = max((node.memory_bytes for node in nodes if node.name in tried), default=0) if policy.bigger else 0
    return any(
        node.state == "active" and node.name not in tried and (node.memory_bytes or most_bytes + 1) > most_bytes
        for node in nodes
    )


def keep_details(attempt: Attempt, result: BuildResult) -> None:
    """What people may want to know about a finished attempt."""
    details = result.to_json()
    attempt.evidence, attempt.line = result.evidence, result.line
    attempt.tries = details["tries"]
    attempt.steps = details["steps"]
    attempt.materials = details["materials"]
    attempt.environment = details["environment"]
    attempt.resources = details["resources"]
    attempt.usage = details["usage"]
