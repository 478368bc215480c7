"""How many builds are in each state on each platform: kept with every change (``schema.db.tally``)."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import bindparam, func, select, text, union_all
from sqlalchemy.orm import Session

from schema.db.models import Build, BuildCount
from schema.db.tally import Tally
from schema.states import BuildState

Key = tuple[str, str]  # platform, state

_TALLY = Tally(
    text(
        """INSERT INTO build_counts (platform, state, builds) VALUES (:platform, :state, :builds)
        ON CONFLICT (platform, state) DO UPDATE SET builds = build_counts.builds + excluded.builds"""
    ),
    ("platform", "state"),
)
_BY_PLATFORM = select(BuildCount.platform, BuildCount.builds).where(BuildCount.state == bindparam("state"))


def note(
    session: Session, platform: str, *, left: str | None = None, entered: str | None = None, builds: int = 1
) -> None:
    """*builds* left one state and entered another; None where they were, or are, nowhere."""
    for state, sign in ((left, -1), (entered, 1)):
        if state is not None:
            _TALLY.note(session, (platform, str(state)), sign * builds)


def counts(session: Session) -> dict[Key, int]:
    """The builds by platform and state, what this session has changed included; what is none is left out."""
    found = Counter({(row.platform, row.state): row.builds for row in session.scalars(select(BuildCount))})
    for (platform, state), change in _TALLY.noted(session).items():
        found[platform, state] += change
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
    for (platform, at), change in _TALLY.noted(session).items():
        found[platform] += change if at == state else 0
    return {platform: builds for platform, builds in sorted(found.items()) if builds > 0}


def recount(session: Session) -> dict[Key, int]:
    """Count every build once, correct what is kept, and return the corrections (empty, unless somebody wrote by hand).

    One statement sees builds and counts at the same moment, and corrects by differences: others may work meanwhile.
    """
    _TALLY.write(session)
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
