"""How a new node is let in: it builds what is published already, and what comes out must be what is known.

A canary is a build like any other, with a number of its own (``schema.repeats``); its wheel is compared, and never
published (``master.repeats``). Nothing else goes to a node on probation, and canaries go to nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from master import aside, audit, builds, repeats
from master.choose import Candidate, Desk
from schema import capacity, sizes
from schema.db.models import Attempt, Build, Canary, Node, Repeat, UpstreamFile, Wheel
from schema.db.session import now
from schema.names import NodeName
from schema.repeats import MOST_NUMBERS, SAME, Repeated, number_for
from schema.states import AttemptOutcome, BuildState, NodeState

log = logging.getLogger(__name__)

# So many of the newest published builds are looked at for those that are built fastest.
_LOOKED_AT = 200


def are_needed(session: Session) -> bool:
    """Whether a node is on probation, or a canary has not ended."""
    return bool(
        session.scalar(
            select(
                or_(
                    exists().where(Node.state == NodeState.PROBATION),
                    exists().where(Canary.verdict.is_(None)),
                )
            )
        )
    )


def next_for(session: Session, desk: Desk, *, wanted: int) -> list[Candidate]:
    """What the node on probation at *desk* builds next; let it in, or set it aside, where nothing is left to see.

    wanted: so many canaries have to come out as they are known; or as many as there are, where that is fewer
    """
    node = session.get_one(Node, desk.node, with_for_update=True)
    platforms = (*desk.platforms, *desk.spare)
    if node.state != NodeState.PROBATION or not platforms:
        return []
    record = _Record.of(session, node)
    lie = next((text for row in record.differing if (text := _lie(session, row))), "")
    if lie:
        aside.set_aside(session, desk.node, lie)
        return []
    missing = wanted - record.good - len(record.open)
    again = [build for build in record.builds if build.state == BuildState.QUEUED]
    room = min(desk.free - len(again), missing, 2 * wanted - len(record.builds))
    fresh = _published(session, desk, platforms, record.seen, most=room) if room > 0 else []
    if record.is_settled and not fresh and (missing <= 0 or desk.free):
        _decide(session, node, record, wanted)
        return []
    node.state_reason = f"{record.good} of {wanted} canaries came out as they are known"
    sent = [_send(session, build, desk.node) for build in fresh]
    return [_candidate(session, build) for build in (*again, *sent)][: desk.free]


def withdraw_others(session: Session, heard: Collection[NodeName]) -> None:
    """Take back the canaries of nodes that are not *heard*, or not on probation any more."""
    stray = select(Canary.again_id).where(Canary.verdict.is_(None))
    if heard:
        stray = stray.where(Canary.node.not_in(heard))
    ids = session.scalars(stray).all()
    if not ids:
        return
    for build in session.scalars(builds.locked(select(Build).where(Build.id.in_(ids)).order_by(Build.id))).all():
        builds.move(session, build, BuildState.WITHDRAWN, reason="its node is not on probation, or not heard, any more")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What a node has built since its probation began.

    open: not ended; differing: those that came out otherwise; good: how many came out as they are known
    failed: how many it could not build
    """

    builds: Sequence[Build]
    open: Sequence[Canary]
    differing: Sequence[Canary]
    good: int
    failed: int
    seen: frozenset[int]
    waits: bool

    @classmethod
    def of(cls, session: Session, node: Node) -> _Record:
        found = session.execute(
            select(Canary, Build)
            .join(Build, Build.id == Canary.again_id)
            .where(Canary.node == node.name, Canary.sent_at >= node.probation_since)
            .order_by(Canary.again_id)
        ).all()
        rows = [row for row, _ in found]
        differing = [row for row in rows if row.verdict == Repeated.DIFFERS]
        return cls(
            builds=[build for _, build in found],
            open=[row for row in rows if row.verdict is None],
            differing=differing,
            good=sum(row.verdict in SAME for row in rows),
            # One that was withdrawn says nothing about the node.
            failed=sum(
                row.verdict == Repeated.NOT_REPEATED and build.state == BuildState.UNNEEDED for row, build in found
            ),
            seen=frozenset(row.build_id for row in rows),
            waits=any(_is_open(session, row) for row in differing),
        )

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way that could tell more about the node."""
        return not self.open and not self.waits


def _lie(session: Session, row: Canary) -> str:
    """What a build that came out otherwise says against its node; "" where it may be the build's own fault.

    Some builds never give the same bytes twice. One that did on another node is proof; of others it is found out by
    building once more where the farm trusts, as long as a node is there that could.
    """
    first = session.get_one(Build, row.build_id)
    evidence = (
        f"its canary, build {row.again_id} of {first.project.name} {first.version}, is not what build {first.id} gave:"
        f" {row.detail}"
    )
    if _is_known_to_repeat(session, row):
        return evidence
    repeat = session.get(Repeat, first.id)
    if repeat is not None and repeat.verdict == Repeated.DIFFERS:
        return ""
    if repeat is None and _is_offered(session, first.platform):
        repeats.queue(session, first, node=NodeName(row.node), reason=f"tells whether node {row.node} is to be trusted")
        return ""
    if repeat is not None and repeat.verdict is None and _is_offered(session, first.platform):
        return ""
    return f"{evidence}; nobody could build it once more, so a person has to look"


def _is_open(session: Session, row: Canary) -> bool:
    """Whether it is yet to be found out if that build repeats."""
    repeat = session.get(Repeat, row.build_id)
    return repeat is None or repeat.verdict is None


def _is_known_to_repeat(session: Session, row: Canary) -> bool:
    repeated = exists().where(Repeat.build_id == row.build_id, Repeat.verdict.in_(SAME), Repeat.node != row.node)
    shown = exists().where(Canary.build_id == row.build_id, Canary.verdict.in_(SAME), Canary.node != row.node)
    return bool(session.scalar(select(or_(repeated, shown))))


def _is_offered(session: Session, platform: str) -> bool:
    nodes = session.scalars(select(Node.platforms).where(Node.state == NodeState.ACTIVE))
    return any(platform in platforms for platforms in nodes)


def _published(
    session: Session, desk: Desk, platforms: Sequence[str], seen: Collection[int], *, most: int
) -> list[Build]:
    """Builds of others that are on the index: those known to repeat first, then those that take the least time."""
    possible = [size for size in range(len(sizes.NEEDS)) if not capacity.fits(size, desk.machine)]
    by_others = exists().where(
        Attempt.build_id == Build.id, Attempt.outcome == AttemptOutcome.BUILT, Attempt.node != desk.node
    )
    query = (
        select(Build)
        .where(
            Build.state == BuildState.PUBLISHED,
            Build.platform.in_(platforms),
            Build.size.in_(possible),
            Build.build_number.between(0, MOST_NUMBERS - 1),
            Build.sdist_id.is_not(None),
            Build.id.not_in(seen),
            by_others,
            exists().where(Wheel.build_id == Build.id, Wheel.removed_at.is_(None)),
        )
        .order_by(Build.id.desc())
        .limit(_LOOKED_AT)
    )
    repeatable = exists().where(Repeat.build_id == Build.id, Repeat.verdict.in_(SAME))
    found = sorted(session.scalars(query.where(repeatable)), key=_seconds)[:most]
    if len(found) < most:
        found += sorted(session.scalars(query.where(~repeatable)), key=_seconds)[: most - len(found)]
    return found


def _seconds(build: Build) -> float:
    return sizes.UNKNOWN_S if build.expected_s is None else build.expected_s


def _send(session: Session, build: Build, node: NodeName) -> Build:
    count = session.scalars(select(func.count()).where(Canary.build_id == build.id)).one()
    again = repeats.once_more(
        session,
        build,
        number=number_for(build.build_number, canary=count + 1),
        reason=f"repeats build {build.id}, to see whether node {node} builds what is known",
    )
    session.add(Canary(again_id=again.id, build_id=build.id, node=node, sent_at=now(session)))
    session.flush()
    return again


def _candidate(session: Session, build: Build) -> Candidate:
    file = session.get_one(UpstreamFile, build.sdist_id)
    return Candidate(
        id=build.id,
        project_id=build.project_id,
        project=build.project.name,
        version=build.version,
        platform=build.platform,
        build_number=build.build_number,
        sdist_id=file.id,
        size=build.size,
        score=build.score,
        expected_s=build.expected_s,
        needs=build.needs,
        filename=file.filename,
        url=file.url,
        sha256=file.sha256 or "",
        size_bytes=file.size_bytes,
        uploaded_at=file.uploaded_at,
    )


def _decide(session: Session, node: Node, record: _Record, wanted: int) -> None:
    """Nothing is left to see."""
    if record.failed > record.good:
        why = f"it could not build {record.failed} of {record.failed + record.good} canaries, which others have built"
        aside.set_aside(session, NodeName(node.name), f"{why} (wheelfarm builds --state unneeded)")
        return
    how = f"{record.good} of {wanted} canaries came out as they are known"
    if record.good < wanted:
        how += ", and nothing more is published that it could be compared by"
    log.info("node %s is let in: %s", node.name, how)
    before = {"state": node.state}
    node.state, node.state_reason, node.probation_since = NodeState.ACTIVE, "", None
    audit.note(
        session,
        who="wheelfarm",
        action="let in",
        subject=f"node {node.name}",
        before=before,
        after={"state": node.state},
        reason=how,
    )
