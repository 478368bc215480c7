"""How many builds are in each state on each platform: kept with every change, so that nobody ever counts millions.

Changes are collected in the session and written once, sorted, just before its transaction is committed: two
transactions then lock the same rows in the same order, and for as short a time as can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import bindparam, event, func, select, text, union_all
from sqlalchemy.orm import Session, SessionTransaction

from schema.db.models import Build, BuildCount
from schema.states import BuildState

Key = tuple[str, str]  # platform, state

_INFO = "wheelfarm.build_counts"
_ADD = text(
    """INSERT INTO build_counts (platform, state, builds) VALUES (:platform, :state, :builds)
    ON CONFLICT (platform, state) DO UPDATE SET builds = build_counts.builds + excluded.builds"""
)
_BY_PLATFORM = select(BuildCount.platform, BuildCount.builds).where(BuildCount.state == bindparam("state"))


def note(
    session: Session, platform: str, *, left: str | None = None, entered: str | None = None, builds: int = 1
) -> None:
    """*builds* left one state and entered another; None where they were, or are, nowhere."""
    changes = _changes(session)
    for state, sign in ((left, -1), (entered, 1)):
        if state is not None:
            changes[platform, str(state)] += sign * builds


def counts(session: Session) -> dict[Key, int]:
    """The builds by platform and state, what this session has changed included; what is none is left out."""
    found = Counter({(row.platform, row.state): row.builds for row in session.scalars(select(BuildCount))})
    for changes in session.info.get(_INFO, {}).values():
        for key, change in changes.items():
            found[key] += change
    return {key: builds for key, builds in sorted(found.items()) if builds > 0}


def by_state(session: Session) -> dict[str, int]:
    """The builds of the whole farm, in the order of a build's life; states without builds are left out."""
    found: Counter[str] = Counter()
    for (_, state), builds in counts(session).items():
        found[state] += builds
    return {state.value: found[state] for state in BuildState if found[state]}


def by_platform(session: Session, state: BuildState) -> dict[str, int]:
    """Platform → the builds that are in that state there."""
    found = Counter(dict(session.execute(_BY_PLATFORM, {"state": state}).all()))
    for changes in session.info.get(_INFO, {}).values():
        for (platform, at), change in changes.items():
            found[platform] += change if at == state else 0
    return {platform: builds for platform, builds in sorted(found.items()) if builds > 0}


def recount(session: Session) -> dict[Key, int]:
    """Count every build once, correct what is kept, and return the corrections (empty, unless somebody wrote by hand).

    One statement sees builds and counts at the same moment, and corrects by differences: others may work meanwhile.
    """
    _write(session)
    real = select(Build.platform, Build.state, func.count().label("builds")).group_by(Build.platform, Build.state)
    kept = select(BuildCount.platform, BuildCount.state, -BuildCount.builds)
    both = union_all(real, kept).subquery()
    missing = func.sum(both.c.builds)
    rows = session.execute(
        select(both.c.platform, both.c.state, missing).group_by(both.c.platform, both.c.state).having(missing != 0)
    )
    found = {(platform, state): int(builds) for platform, state, builds in rows}
    for (platform, state), builds in found.items():
        note(session, platform, entered=state, builds=builds)
    return found


def _changes(session: Session) -> Counter[Key]:
    """What the innermost transaction has changed so far: a savepoint that is rolled back takes its own with it."""
    pending: dict[SessionTransaction | None, Counter[Key]] = session.info.setdefault(_INFO, {})
    return pending.setdefault(_innermost(session), Counter())


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()


@event.listens_for(Session, "before_commit")
def _write(session: Session) -> None:
    pending = session.info.get(_INFO)
    changes: Mapping[Key, int] = pending.pop(_innermost(session), {}) if pending else {}
    rows = [
        {"platform": platform, "state": state, "builds": change}
        for (platform, state), change in sorted(changes.items())
        if change
    ]
    if not rows:
        return
    session.connection().execute(_ADD, rows)


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, ended: SessionTransaction) -> None:
    pending = session.info.get(_INFO)
    if pending:
        pending.pop(ended, None)
