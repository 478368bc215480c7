"""How the farm itself does: alarms, the upstream's feed, long walks, who leads; in a few queries that do not grow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from schema.db import counts
from schema.db.models import Alarm, Leadership, Mark, Node, Project
from schema.db.session import now
from schema.printable import one_line
from schema.states import BuildState, NodeState

MOST_DUE = 1000
_FEED = "feed"
_MOST_ALARMS = 50
_MOST_MARKS = 40

# What the walks are, in a reader's words; those that are no walk of interest to people have no title.
_TITLES = {
    _FEED: "News from upstream",
    "changelog": "Upstream's changelog",
    "changelog-unknown": "Events of an unknown kind",
    "reconcile": "Comparison with all of upstream",
    "backfill": "Planning again, after a change of settings",
    "abi": "Built against an older release",
    "scope": "What the farm wants by itself",
    "files": "Lists and lock files",
    "scrub": "Stored files compared with their digests",
    "gc": "Tidying up",
    "intake": "Giving out builds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """How the farm follows its upstream.

    followed: the feed's name, ``projects`` where each page is read in its turn; note: with why no better one is
    serial: up to which all news were taken, 0 where there is none
    asked_at: when it was asked last; news_at: when it last had news, None where that is unknown
    due: pages that are to be read now; more than ``MOST_DUE`` mean many
    """

    followed: str
    note: str
    serial: int
    asked_at: datetime
    news_at: datetime | None
    due: int

    @property
    def sentence(self) -> str:
        """The same in a line."""
        pages = f"more than {MOST_DUE:,}" if self.due > MOST_DUE else f"{self.due:,}"
        parts = [
            one_line(self.note) or self.followed,
            f"serial {self.serial:,}" if self.serial else "",
            f"asked {self.asked_at:%Y-%m-%d %H:%M} UTC",
            f"last news {self.news_at:%Y-%m-%d %H:%M} UTC" if self.news_at else "",
            f"{pages} page{'' if self.due == 1 else 's'} to read" if self.due else "nothing to read",
        ]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A mark as readers see it; share: of the whole, in percent, None where none is under way or nobody knows."""

    name: str
    title: str
    note: str
    done: int
    total: int
    changed_at: datetime
    share: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The master that leads, or led last; leads: whether its lease holds."""

    holder: str
    until: datetime
    leads: bool

    @property
    def sentence(self) -> str:
        """The same in a line."""
        if self.leads:
            return f"{one_line(self.holder)} leads"
        return f"no master leads since {self.until:%Y-%m-%d %H:%M} UTC, when {one_line(self.holder)} did"


def open_alarms(session: Session) -> Sequence[Alarm]:
    """What a person should look at now, the newest first."""
    # Not by the key alone: its order would lead through all that ended, to find few that are open.
    newest = (Alarm.raised_at.desc(), Alarm.id.desc())
    return session.scalars(select(Alarm).where(Alarm.ended_at.is_(None)).order_by(*newest).limit(_MOST_ALARMS)).all()


def feed(session: Session) -> Feed | None:
    """None where the upstream was never asked."""
    mark = session.get(Mark, _FEED)
    if mark is None:
        return None
    due = select(Project.id).where(Project.check_at <= now(session)).limit(MOST_DUE + 1).subquery()
    return Feed(
        followed=mark.cursor,
        note=mark.note,
        serial=mark.serial,
        asked_at=mark.changed_at,
        news_at=mark.finished_at,
        due=session.scalar(select(func.count()).select_from(due)) or 0,
    )


def walks(session: Session) -> list[Walk]:
    """The marks that mean something to people, the latest change first."""
    marks = session.scalars(select(Mark).order_by(Mark.changed_at.desc()).limit(_MOST_MARKS)).all()
    return [_walk(mark) for mark in marks if _kind(mark) in _TITLES and (mark.note or mark.total or mark.done)]


def leader(session: Session) -> Leader | None:
    """None where no master ever led."""
    row = session.get(Leadership, 1)
    return Leader(holder=row.holder, until=row.until, leads=row.until > now(session)) if row is not None else None


def node_states(session: Session, nodes: Iterable[Node], *, silent_s: float) -> dict[str, str]:
    """Name → state as in ``NodeState``; an active one that was not heard for *silent_s* seconds is ``silent``, one
    that may not build ``unfit``.
    """
    oldest = now(session) - timedelta(seconds=silent_s)
    return {node.name: _state(node, oldest) for node in nodes}


def by_platform(session: Session) -> dict[str, dict[str, int]]:
    """Platform → state → builds, the states in the order of a build's life; what is none is left out."""
    order, found = list(BuildState), counts.counts(session)
    result: dict[str, dict[str, int]] = {}
    for platform, state in sorted(found, key=lambda key: (key[0], order.index(BuildState(key[1])))):
        result.setdefault(platform, {})[state] = found[platform, state]
    return result


def _state(node: Node, oldest: datetime) -> str:
    if node.state not in {NodeState.ACTIVE, NodeState.PROBATION}:
        return node.state
    if (node.heard_at or oldest) <= oldest:
        return "silent"
    return "unfit" if node.unfit else node.state


def _kind(mark: Mark) -> str:
    """``abi`` for ``abi numpy debian12-x86_64-cp311``, of which there are several."""
    return mark.name.partition(" ")[0]


def _walk(mark: Mark) -> Walk:
    under_way = mark.total > 0 and (
        mark.finished_at is None or (mark.started_at or mark.finished_at) > mark.finished_at
    )
    return Walk(
        name=mark.name,
        title=_TITLES[_kind(mark)],
        note=one_line(mark.note),
        done=mark.done,
        total=mark.total,
        changed_at=mark.changed_at,
        share=round(100 * min(mark.done / mark.total, 1)) if under_way else None,
    )
