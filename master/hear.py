"""What nodes say: heartbeats and progress. Messages are hints; each changes only what its lease really covers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from master import builds, selftests, sweep
from schema import protocol
from schema.db.models import Build, Node
from schema.db.session import now
from schema.errors import FarmError
from schema.jobs import Heartbeat, Lease, Progress
from schema.names import fits_one
from schema.platforms import Platform
from schema.states import GONE, BuildState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the master has to do after a heartbeat.

    collect: results to take from the node's outbox
    forget: results that nobody waits for any more
    cancel: builds the node works on although the lease is not its own any more
    """

    collect: tuple[Lease, ...] = ()
    forget: tuple[Lease, ...] = ()
    cancel: tuple[Lease, ...] = ()


def heartbeat(
    session: Session,
    message: Heartbeat,
    *,
    lease_s: float,
    lost_message_s: float,
    native_only: Sequence[str] = (),
    lag_s: Callable[[], float] = lambda: 0.0,
    authority_pem: str | None = None,
) -> Heard:
    """Note that a node lives and what it does; extend the leases it really holds.

    native_only: patterns of platforms that a node which emulates them does not get
    lag_s: how late the message is, asked when the database lets us in, which is when it came
    authority_pem: whose certificate must stand behind the node's self-test; None: none is asked for

    A node that was never enrolled is not believed: it gets no answer and no builds. One that left the farm is told to
    stop and to forget. What one works on whose protocol we do not speak goes to others; its outbox is left alone until
    it, or the master, is upgraded.
    """
    node = session.get(Node, message.node)
    if node is None:
        log.warning("a heartbeat from %s, which was never enrolled, is ignored", message.node)
        return Heard()
    if node.state in GONE:
        log.warning("a heartbeat from %s, which is %s, is ignored", message.node, node.state)
        return Heard(forget=message.finished, cancel=message.running)
    moment, late_s = now(session), lag_s()
    node.heard_at = moment
    node.version, node.protocol = message.version, message.protocol
    node.unfit = protocol.trouble(message.protocol, version=message.version)
    if node.unfit:
        _leave_out(session, node)
        return Heard()
    node.health = message.vitals.to_json() | {"clock_s": _clock_s(message, moment, late_s)}
    node.slots, node.facts = message.slots, message.facts
    node.cores, node.memory_bytes, node.disk_free_bytes = message.cores, message.memory_bytes, message.disk_free_bytes
    tested = selftests.held(node, message, authority_pem, moment) if authority_pem else None
    _note_platforms(node, message, native_only, tested)
    session.flush()
    builds.extend(session, {*message.running, *message.finished}, node=message.node, lease_s=lease_s)
    sweep.unheard(session, message, lost_message_s=lost_message_s, lag_s=late_s)
    waited_for = {item for item in message.finished if builds.held_by(session, item, message.node)}
    return Heard(
        collect=tuple(sorted(waited_for)),
        forget=tuple(item for item in message.finished if item not in waited_for),
        cancel=tuple(item for item in message.running if not builds.held_by(session, item, message.node)),
    )


def _note_platforms(
    node: Node, message: Heartbeat, native_only: Sequence[str], tested: Callable[[str], bool] | None
) -> None:
    """What it offers, may build for, and has a sandbox for that holds; *tested*: whether that of an image does."""
    forbidden = {item for item in message.emulated if fits_one(item, native_only)}
    node.platforms = [
        item
        for item in message.platforms
        if item in node.allowed_platforms
        and item not in forbidden
        and (tested is None or tested(Platform.parse(item).image))
    ]
    node.emulated = [item for item in message.emulated if item in node.platforms]


def _leave_out(session: Session, node: Node) -> None:
    """It gets nothing, and what it works on goes to others; it is not to blame for that."""
    node.platforms, node.emulated = [], []
    session.flush()
    held = builds.locked(
        select(Build).where(Build.leased_to == node.name, Build.state == BuildState.LEASED).order_by(Build.id)
    )
    for build in session.scalars(held).all():
        builds.give_back(session, build, why=f"node {node.name}: {node.unfit}", blame=False)


def _clock_s(message: Heartbeat, came_at: datetime, late_s: float) -> float | None:
    """How far its clock is ahead; None where it tells no time, or nobody can say how late the message is."""
    if message.vitals.at is None or not message.boot:
        return None
    return round((message.vitals.at - came_at).total_seconds() + late_s, 1)


def progress(session: Session, message: Progress) -> bool:
    """Keep the steps of a running attempt; say whether the message was of a lease that is held."""
    if builds.held_by(session, message.lease, message.node) is None:
        return False
    builds.attempt_of(session, message.lease).steps = [step.to_json() for step in message.steps]
    return True


def keep_log(logs: Path, message: Progress, *, limit_bytes: int) -> None:
    """Append a piece of a running build's log; one beyond a gap is left out: the whole log comes with the result."""
    path = log_path(logs, message.lease)
    data = message.log.encode("utf-8", "surrogateescape")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            held = file.tell()
            if message.log_offset <= held and message.log_offset + len(data) <= limit_bytes:
                file.truncate(message.log_offset)
                file.write(data)
    except OSError as err:
        raise FarmError(f"the log {path} cannot be written: {err.strerror}") from err


def log_path(logs: Path, lease: Lease) -> Path:
    """Where the log of one attempt lies."""
    return logs / str(lease.build_id) / f"{lease.fence}.log"
