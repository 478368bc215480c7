"""What worked before: the remedies with which a project was last built are tried first the next time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from packaging.version import Version
from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db.models import Build, WhatWorked
from schema.db.session import insert, now
from schema.errors import WireError
from schema.platforms import Platform
from schema.recipes import Rule
from schema.remedies import Remedy, Rung, of_rule, remedies


def remember(session: Session, build: Build, worked: Sequence[Remedy]) -> None:
    """Keep what the newest version that was built on its platform was built with; nothing, where it needed nothing."""
    known = session.get(WhatWorked, (build.project_id, build.platform))
    if known is not None and Version(known.version) > Version(build.version):
        return
    if not worked:
        if known is not None:
            session.delete(known)
        return
    values = {
        "version": build.version,
        "remedies": [remedy.to_json() for remedy in worked],
        "built_at": now(session),
    }
    row = insert(session, WhatWorked).values(project_id=build.project_id, platform=build.platform, **values)
    session.execute(row.on_conflict_do_update(index_elements=["project_id", "platform"], set_=values))


def recall(
    session: Session, project_id: int, *, version: Version, platform: Platform, rules: Sequence[Rule], today: date
) -> tuple[Remedy, ...]:
    """What to try first: what worked on this platform, else where it was built last.

    rules: those of the project as they are now: a remedy that is one of them is what that rule says today
    """
    rows = session.scalars(select(WhatWorked).where(WhatWorked.project_id == project_id)).all()
    if not rows:
        return ()
    row = max(rows, key=lambda row: (row.platform == str(platform), row.built_at))
    try:
        kept = remedies(row.remedies)
    except (WireError, ValueError):
        return ()  # of an earlier version of the farm
    holding = {rule.id: rule for rule in rules if rule.fits(version, platform, today)}
    return tuple(
        of_rule(holding[remedy.rule]) if remedy.rung is Rung.RULE else remedy
        for remedy in kept
        if remedy.rung is not Rung.RULE or remedy.rule in holding
    )
