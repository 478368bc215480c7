"""Take back what went silent: leases that ran out, and jobs whose message never arrived."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from master import builds
from schema.db.models import Attempt, Build
from schema.db.session import now
from schema.jobs import Heartbeat
from schema.states import BuildState

log = logging.getLogger(__name__)


def expired(session: Session) -> int:
    """Give back every build whose lease ran out; say how many."""
    # By the few that hold a lease, not by state: the index of all states is as long as the farm is old.
    ran_out = select(Build).where(Build.leased_to.is_not(None), Build.lease_until < now(session))
    late = session.scalars(builds.locked(ran_out, skip=True)).all()
    for build in late:
        builds.give_back(session, build, why=f"node {build.leased_to} went silent")
    return len(late)


def unheard(session: Session, heartbeat: Heartbeat, *, lost_message_s: float, lag_s: float = 0.0) -> int:
    """Give back what this node should work on but does not mention; say how many.

    A build that had begun was lost with the node's process; one that had not was a lost message, and nobody's fault.
    lag_s: how late the heartbeat is: it cannot mention what was given out since, and a very late one proves nothing
    """
    if lag_s > lost_message_s:
        log.info("node %s: a heartbeat is %.0f s late: what it leaves out is not lost", heartbeat.node, lag_s)
        return 0
    mentioned = {(item.build_id, item.fence) for item in (*heartbeat.running, *heartbeat.finished)}
    granted_before = now(session) - timedelta(seconds=lost_message_s + lag_s)
    held = (
        select(Build, Attempt)
        .join(Attempt, (Attempt.build_id == Build.id) & (Attempt.fence == Build.fence))
        .where(Build.leased_to == heartbeat.node, Build.leased_at < granted_before)
    )
    silent = [
        (build, attempt)
        for build, attempt in session.execute(builds.locked(held, skip=True))
        if build.state == BuildState.LEASED and (build.id, build.fence) not in mentioned
    ]
    for build, attempt in silent:
        begun = bool(attempt.steps)
        why = f"node {heartbeat.node} was restarted" if begun else f"the message to node {heartbeat.node} was lost"
        builds.give_back(session, build, why=why, blame=begun)
    return len(silent)
