"""Many leases at once: what ``builds.lease`` does for one build, in as few statements as for one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, insert, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key

from schema.db import counts
from schema.db.models import Attempt, Build, DirtyPage
from schema.db.session import insert as insert_into
from schema.names import NodeName
from schema.states import TRANSITIONS, AttemptOutcome, BuildState

log = logging.getLogger(__name__)

assert BuildState.LEASED in TRANSITIONS[BuildState.QUEUED]  # noqa: S101 - the only move that is made here

_BUILDS, _ATTEMPTS = (cast("Table", model.__table__) for model in (Build, Attempt))


def lease_many(
    session: Session, builds: Sequence[int], *, node: NodeName, at: datetime, lease_s: float
) -> Mapping[int, int]:
    """Grant queued builds to a node: a new fence and a new attempt each; return build → fence.

    Builds that are no longer queued are left out: somebody else was faster.
    """
    if not builds:
        return {}
    granted = (
        session.connection()
        .execute(
            update(_BUILDS)
            .where(_BUILDS.c.id.in_(builds), _BUILDS.c.state == BuildState.QUEUED)
            .values(
                state=BuildState.LEASED,
                reason=f"node {node} builds it",
                fence=_BUILDS.c.fence + 1,
                leased_to=node,
                leased_at=at,
                lease_until=at + timedelta(seconds=lease_s),
                changed_at=at,
                not_before=None,
                waits_for=None,
            )
            .returning(_BUILDS.c.id, _BUILDS.c.fence, _BUILDS.c.platform, _BUILDS.c.project_id)
        )
        .all()
    )
    if not granted:
        return {}
    session.connection().execute(
        insert(_ATTEMPTS),
        [
            {
                "build_id": row.id,
                "fence": row.fence,
                "node": node,
                "outcome": AttemptOutcome.RUNNING,
                "started_at": at,
            }
            for row in sorted(granted)
        ],
    )
    _touch_pages(session, {row.project_id for row in granted})
    for platform, number in Counter(row.platform for row in granted).items():
        counts.note(session, platform, left=BuildState.QUEUED, entered=BuildState.LEASED, builds=number)
    for row in granted:
        log.info("build %s: queued -> leased: node %s builds it", row.id, node)
        if (loaded := session.identity_map.get(identity_key(Build, row.id))) is not None:
            session.expire(loaded)
    return {row.id: row.fence for row in granted}


def _touch_pages(session: Session, projects: set[int]) -> None:
    marked = insert_into(session, DirtyPage).values([{"project_id": item, "revision": 1} for item in sorted(projects)])
    session.connection().execute(
        marked.on_conflict_do_update(index_elements=[DirtyPage.project_id], set_={"revision": DirtyPage.revision + 1})
    )
