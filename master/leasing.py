"""Many leases at once: what ``builds.lease`` does for one build, in as few statements as for one.

The statements are written out, since making them anew would take longer than the database takes to carry them out.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key

from master import crash
from schema.db import counts
from schema.db.models import Build, Instant
from schema.names import NodeName
from schema.states import TRANSITIONS, BuildState

log = logging.getLogger(__name__)

assert BuildState.LEASED in TRANSITIONS[BuildState.QUEUED]  # noqa: S101 - the only move that is made here

_LEASE = text(
    """UPDATE builds SET state = 'leased', reason = :reason, fence = fence + 1, leased_to = :node, leased_at = :at,
        lease_until = :until, changed_at = :at, not_before = NULL, waits_for = NULL
    WHERE id IN :ids AND state = 'queued' RETURNING id, fence, platform"""
).bindparams(bindparam("ids", expanding=True), bindparam("at", type_=Instant), bindparam("until", type_=Instant))
_ATTEMPTS = text(
    """INSERT INTO attempts
        (build_id, fence, node, outcome, started_at, message, evidence, log_bytes,
            steps, materials, environment, resources)
    SELECT id, fence, leased_to, 'running', leased_at, '', '', 0, '[]', '[]', '{}', '{}'
    FROM builds WHERE id IN :ids ORDER BY id"""
).bindparams(bindparam("ids", expanding=True))
_TOUCH = text(
    """INSERT INTO dirty_pages (project_id, revision)
    SELECT DISTINCT project_id, 1 FROM builds WHERE id IN :ids ORDER BY project_id
    ON CONFLICT (project_id) DO UPDATE SET revision = dirty_pages.revision + 1"""
).bindparams(bindparam("ids", expanding=True))


def lease_many(
    session: Session, builds: Sequence[int], *, node: NodeName, at: datetime, lease_s: float
) -> Mapping[int, int]:
    """Grant queued builds to a node: a new fence and a new attempt each; return build → fence.

    Builds that are no longer queued are left out: somebody else was faster.
    """
    if not builds:
        return {}
    connection = session.connection()
    lease = {"node": node, "at": at, "until": at + timedelta(seconds=lease_s), "reason": f"node {node} builds it"}
    granted = sorted(connection.execute(_LEASE, {**lease, "ids": builds}).all())
    if not granted:
        return {}
    ids = [row.id for row in granted]
    connection.execute(_ATTEMPTS, {"ids": ids})
    connection.execute(_TOUCH, {"ids": ids})
    for platform, number in Counter(row.platform for row in granted).items():
        counts.note(session, platform, left=BuildState.QUEUED, entered=BuildState.LEASED, builds=number)
    for row in granted:
        log.info("build %s: queued -> leased: node %s builds it", row.id, node)
        if (loaded := session.identity_map.get(identity_key(Build, row.id))) is not None:
            session.expire(loaded)
    crash.point("leased")
    return {row.id: row.fence for row in granted}
