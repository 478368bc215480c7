"""A share of the published builds is built once more, to see whether that gives the same bytes; it is never published.

The second build is a row like any other, with a number of its own (``schema.repeats``): leases, retries, sweeps know
nothing of it. Its score keeps it behind whatever gives a wheel. Whatever comes of it, it ends as ``unneeded``.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, literal_column, select
from sqlalchemy.orm import Session

from master import audit, builds
from master.accepted import Accepted
from master.store import Store
from schema import repeats
from schema.db import scoring
from schema.db.models import Attempt, Build, Canary, Node, Project, Repeat, Wheel
from schema.db.session import now, transaction
from schema.errors import UsageError, WheelRejectedError
from schema.names import NodeName, Sha256
from schema.printable import one_line
from schema.repeats import Repeated, is_canary
from schema.sections import RepeatSection
from schema.states import AttemptOutcome, BuildPolicy, BuildState
from schema.wheels.comparing import compare

log = logging.getLogger(__name__)

# So long another node that could do it is waited for, before the one that built it first may.
ELSEWHERE_WITHIN = timedelta(days=1)

# A state that no wheel comes out of any more: then there is nothing to compare.
GIVEN_UP = frozenset({BuildState.FAILED, BuildState.POISONED, BuildState.WITHDRAWN})

_WHOLE = 2**32


def want(session: Session, build: Build, *, node: NodeName, wanted: RepeatSection) -> None:
    """Queue *build*, which *node* has built and which is published now, once more, if it is in the share."""
    if _is_wanted(session, build, wanted) and session.get(Repeat, build.id) is None:
        queue(session, build, node=node, reason=f"repeats build {build.id}, to see whether it gives the same bytes")


def queue(session: Session, build: Build, *, node: NodeName, reason: str) -> Build:
    """Queue the published *build*, which *node* has built and which was never repeated, once more."""
    moment = now(session)
    again = once_more(session, build, number=repeats.number_for(build.build_number), reason=reason)
    until = moment + ELSEWHERE_WITHIN if _is_offered_elsewhere(session, build, node) else None
    session.add(Repeat(build_id=build.id, again_id=again.id, not_on=node if until else None, not_on_until=until))
    session.flush()
    return again


def once_more(session: Session, build: Build, *, number: int, reason: str) -> Build:
    """Queue the published *build* under another *number*, as one whose wheel is only compared."""
    moment = now(session)
    again = Build(
        project=build.project,
        version=build.version,
        platform=build.platform,
        build_number=number,
        sdist_id=build.sdist_id,
        policy=BuildPolicy.ALWAYS,
        state=BuildState.QUEUED,
        reason=reason,
        origin="repeat",
        needs=list(build.needs),
        created_at=moment,
        changed_at=moment,
        followed_at=moment,
    )
    builds.insert(session, again)
    scoring.rescore(session, [again])
    return again


def row_of(session: Session, again_id: int, build_number: int) -> Repeat | Canary:
    """What the build *again_id*, of that number, repeats, and what came of it."""
    if is_canary(build_number):
        return session.get_one(Canary, again_id)
    return session.scalars(select(Repeat).where(Repeat.again_id == again_id)).one()


def ask(session: Session, build: Build, *, who: str) -> Build:
    """Have *build* repeated because *who* wants it; raise UsageError where it cannot be, or was already."""
    row = session.get(Repeat, build.id)
    if row is not None:
        what = f"was repeated: {_text(row)}" if row.verdict else f"is being repeated by build {row.again_id}"
        raise UsageError(f"build {build.id} {what}", advice="wheelfarm rebuild --locally repeats it here")
    built = select(Attempt.node).where(Attempt.build_id == build.id, Attempt.outcome == AttemptOutcome.BUILT)
    node = session.scalar(built.order_by(Attempt.fence.desc()).limit(1))
    if node is None or build.sdist is None:
        raise UsageError(f"build {build.id} cannot be repeated: the farm does not know any more how it was made")
    reason = f"repeats build {build.id} for {who}, to see whether it gives the same bytes"
    again = queue(session, build, node=NodeName(node), reason=reason)
    audit.note(session, who=who, action="repeat", subject=f"build {again.id}", before={"build": build.id})
    return again


def first_began_at(session: Session, again_id: int, build_number: int) -> datetime | None:
    """When the attempt began whose wheel is repeated: build requirements that came later did not count for it."""
    first = row_of(session, again_id, build_number).build_id
    return session.scalar(
        select(Attempt.started_at)
        .where(Attempt.build_id == first, Attempt.outcome == AttemptOutcome.BUILT)
        .order_by(Attempt.fence.desc())
        .limit(1)
    )


def settle(database: Engine, store: Store, accepted: Accepted) -> None:
    """Compare a repeat's wheel, which was checked, with what it repeats; keep the verdict, and no byte.

    Safe to repeat. Nothing happens if the lease is not held any more.
    """
    with transaction(database) as session:
        build = builds.held_by(session, accepted.lease, accepted.node)
        wheel = _first_wheel(session, build) if build is not None else None
        known = (wheel.filename, Sha256(wheel.sha256)) if wheel is not None else None
    # Outside of any transaction, since large wheels take long.
    verdict, detail = _compared(store, accepted, known)
    with transaction(database) as session:
        build = builds.held_by(session, accepted.lease, accepted.node, for_update=True)
        if build is None:
            log.info("build %s: its lease is not held any more; nothing is compared", accepted.lease.build_id)
            return
        accepted.end_attempt(session, build)
        row = _tell(session, build, verdict, detail, node=accepted.node)
        builds.move(session, build, BuildState.UNNEEDED, reason=f"repeats build {row.build_id}: {_text(row)}")


def given_up(session: Session, build: Build) -> None:
    """*build*, a repeat, is in a state of GIVEN_UP: that is what came of it, and no failure of the farm."""
    node = session.scalar(
        select(Attempt.node).where(Attempt.build_id == build.id).order_by(Attempt.fence.desc()).limit(1)
    )
    row = _tell(session, build, Repeated.NOT_REPEATED, build.reason, node=node)
    reason = f"repeats build {row.build_id}: {_text(row)}"
    if build.state == BuildState.FAILED:
        builds.move(session, build, BuildState.UNNEEDED, reason=reason)
    elif build.state == BuildState.POISONED:
        builds.move(session, build, BuildState.WITHDRAWN, reason=build.reason)


def _is_wanted(session: Session, build: Build, wanted: RepeatSection) -> bool:
    if not 0 <= build.build_number < repeats.MOST_NUMBERS or build.sdist is None or build.sdist.sha256 is None:
        return False
    # The digest itself is as good as random, and everybody can see which builds are meant.
    if int(build.sdist.sha256[:8], 16) < wanted.share * _WHOLE:
        return True
    downloads = build.project.downloads
    if not (wanted.top and downloads):
        return False
    # Spelt out, not bound: a partial index is used only where the planner sees its condition.
    before = select(Project.id).where(literal_column("downloads > 0"), Project.downloads > downloads)
    first = before.order_by(Project.downloads.desc()).limit(wanted.top).subquery()
    return session.scalars(select(func.count()).select_from(first)).one() < wanted.top


def _is_offered_elsewhere(session: Session, build: Build, node: NodeName) -> bool:
    others = session.scalars(select(Node).where(Node.state == "active", Node.name != node))
    return any(build.platform in other.platforms for other in others)


def _first_wheel(session: Session, again: Build) -> Wheel | None:
    return session.scalar(
        select(Wheel)
        .where(
            Wheel.build_id == row_of(session, again.id, again.build_number).build_id,
            Wheel.removed_at.is_(None),
        )
        .limit(1)
    )


def _compared(store: Store, accepted: Accepted, first: tuple[str, Sha256] | None) -> tuple[Repeated, str]:
    if first is None:
        return Repeated.NOT_REPEATED, "the wheel that it repeats is not served any more"
    filename, sha256 = first
    try:
        found = compare(store.path(sha256), accepted.wheel, name=filename)
    except (OSError, WheelRejectedError) as err:  # the other one was checked just now
        log.warning("build %s: %s cannot be compared with: %s", accepted.lease.build_id, filename, err)
        return Repeated.NOT_REPEATED, f"the wheel that it repeats cannot be read: {err}"
    return Repeated(found.verdict), found.detail


def _tell(session: Session, again: Build, verdict: Repeated, detail: str, *, node: str | None) -> Repeat | Canary:
    row = row_of(session, again.id, again.build_number)
    row.verdict, row.detail, row.told_at = verdict, one_line(detail), now(session)
    if isinstance(row, Repeat):
        row.node = node
    session.flush()
    builds.touch_page(session, again.project_id)
    return row


def _text(row: Repeat | Canary) -> str:
    said = "not repeated" if row.verdict == Repeated.NOT_REPEATED else str(row.verdict)
    return f"{said}: {row.detail}" if row.detail else said
