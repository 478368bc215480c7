"""Take a node out of the farm; and, where it was not to be trusted, take back what it built: hidden, and built again.

A wheel that was built with one of the node's wheels is taken back as well, and so on: its bytes came of theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from master import audit, builds, operate, rebuilds
from schema.attest.certificate import key_digest, read
from schema.db.models import Attempt, Build, BuildMaterial, Node, Repeat, Wheel
from schema.errors import UsageError
from schema.names import NodeName
from schema.repeats import Repeated
from schema.states import AttemptOutcome, BuildState, NodeState

log = logging.getLogger(__name__)

_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one step took back: the names of wheels, and the builds that take their place."""

    wheels: tuple[str, ...]
    builds: tuple[int, ...]


def retire(session: Session, name: NodeName, *, who: str, reason: str) -> Node:
    """The node leaves the farm: others build what it works on; what it built stays."""
    return _dismiss(session, name, NodeState.RETIRED, who=who, action="retire", reason=reason, details={})


def revoke(session: Session, name: NodeName, *, since: datetime, who: str, reason: str) -> Node:
    """The node is not trusted any more: its certificate counts no longer, and others build what it works on.

    What it built *since* then is taken back by ``take_back``, and what it said of others' builds is forgotten.
    """
    node = _dismiss(
        session, name, NodeState.REVOKED, who=who, action="revoke", reason=reason, details={"since": since.isoformat()}
    )
    if node.certificate:
        node.revoked_keys = sorted({*node.revoked_keys, key_digest(read(node.certificate))})
    session.execute(
        update(Repeat)
        .where(Repeat.node == name, Repeat.told_at >= since, Repeat.verdict != Repeated.NOT_REPEATED)
        .values(verdict=Repeated.NOT_REPEATED, detail=f"node {name}, which repeated it, is revoked")
        .execution_options(synchronize_session=False)
    )
    return node


def take_back(session: Session, name: NodeName, *, since: datetime, who: str, reason: str) -> Taken:
    """Take back the next wheels of a revoked node, and all that was built with them; nothing where none are left.

    The wheels are off the index as soon as their projects' pages are rendered; their names stay taken (I-22), and each
    release is queued under its next build number (A-11).
    """
    found = session.scalars(
        select(Wheel)
        .join(Attempt, Attempt.build_id == Wheel.build_id)
        .where(
            Attempt.node == name,
            Attempt.outcome == AttemptOutcome.BUILT,
            # By the master's own clock: when an attempt ended, only the node has said.
            Wheel.published_at >= since,
            Wheel.removed_at.is_(None),
        )
        .options(joinedload(Wheel.build))
        .order_by(Wheel.filename)
        .limit(_BATCH)
    ).all()
    taken, made = list[str](), list[int]()
    for wheel, cause in _with_what_they_went_into(session, found):
        how = f"built with {cause.filename}" if cause else f"built by node {name}"
        taken.append(wheel.filename)
        made += _take(session, wheel, f"{how}, which is not trusted any more: {reason}", who=who)
    return Taken(wheels=tuple(taken), builds=tuple(made))


def _dismiss(
    session: Session, name: NodeName, state: NodeState, *, who: str, action: str, reason: str, details: dict[str, str]
) -> Node:
    node = session.get(Node, name, with_for_update=True)
    if node is None:
        raise UsageError(f"there is no node {name}", advice="wheelfarm node list names them")
    before = {"state": node.state, "reason": node.state_reason}
    node.state, node.state_reason = state, reason
    node.platforms, node.emulated = [], []
    held = builds.locked(select(Build).where(Build.leased_to == name).order_by(Build.id))
    for build in session.scalars(held).all():
        builds.give_back(session, build, why=f"node {name} is {state}", blame=False)
    after = {"state": state, "reason": reason, **details}
    audit.note(session, who=who, action=action, subject=f"node {name}", before=before, after=after, reason=reason)
    return node


def _with_what_they_went_into(session: Session, wheels: Sequence[Wheel]) -> Iterator[tuple[Wheel, Wheel | None]]:
    """The wheels, and after each those that were built with it, with the one that they were built with."""
    seen = {wheel.filename for wheel in wheels}
    waiting: list[tuple[Wheel, Wheel | None]] = [(wheel, None) for wheel in reversed(wheels)]
    while waiting:
        wheel, cause = waiting.pop()
        yield wheel, cause
        for other in _built_with(session, wheel):
            if other.filename not in seen:
                seen.add(other.filename)
                waiting.append((other, wheel))


def _built_with(session: Session, wheel: Wheel) -> list[Wheel]:
    """The published wheels whose builds had the very bytes of *wheel* as a build requirement."""
    candidates = session.execute(
        select(Wheel, Attempt.materials)
        .join(Attempt, Attempt.build_id == Wheel.build_id)
        .join(BuildMaterial, BuildMaterial.build_id == Wheel.build_id)
        .where(
            BuildMaterial.name == wheel.project.name,
            Attempt.outcome == AttemptOutcome.BUILT,
            Wheel.removed_at.is_(None),
        )
        .order_by(Wheel.filename)
    ).all()
    return [
        other
        for other, materials in candidates
        if any(item.get("kind") == "farm-wheel" and item.get("sha256") == wheel.sha256 for item in materials)
    ]


def _take(session: Session, wheel: Wheel, because: str, *, who: str) -> list[int]:
    """Remove the wheel; the builds that are queued instead, which are none where it was no longer the newest."""
    build, was_published = wheel.build, wheel.build.state == BuildState.PUBLISHED
    operate.take_off(session, wheel, who=who, reason=because)
    if not was_published or build.sdist_id is None or rebuilds.is_followed(session, build):
        return []
    reason = f"built again in place of build {build.id}: {because}"
    return [rebuilds.again(session, build, origin=build.origin, reason=reason).id]
