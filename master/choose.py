"""Which builds a node gets next: one statement, whatever the number of its free slots and the length of the queue."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import TextualSelect

from schema import capacity, sizes
from schema.capacity import Machine
from schema.db.models import Instant
from schema.db.session import now
from schema.names import NodeName
from schema.repeats import MOST_NUMBERS, is_repeat
from schema.states import RETRY, FailureClass

_MOST_SLOTS = 256  # whatever a node says of itself
_ELSEWHERE = ", ".join(f"'{item}'" for item in sorted(FailureClass) if RETRY[item].elsewhere)

# What is below only a node on probation builds (``master.canaries``).
_FIRST_REPEAT = -MOST_NUMBERS
# The state is spelt out, not bound: a partial index is used only where the planner sees its condition.
_PROBE = f"""SELECT * FROM (
    SELECT id, project_id, version, platform, build_number, sdist_id, size, score, expected_s, needs FROM builds
    WHERE builds.state = 'queued' AND platform = :platform_{{at}} AND size = {{size}} AND sdist_id IS NOT NULL
        AND build_number >= {_FIRST_REPEAT}
        AND (fence = pardoned_fence OR NOT EXISTS (
            SELECT 1 FROM attempts WHERE attempts.build_id = builds.id AND attempts.fence > builds.pardoned_fence
                AND attempts.node = :node AND attempts.failure_class IN ({_ELSEWHERE})))
        AND (build_number >= 0 OR NOT EXISTS (
            SELECT 1 FROM repeats WHERE repeats.again_id = builds.id
                AND repeats.not_on = :node AND repeats.not_on_until > :at))
    ORDER BY score DESC, id DESC LIMIT {{most}}) AS probe_{{at}}_{{size}}"""  # noqa: S608 - of constants
_WHOLE = """SELECT found.*, projects.name AS project,
    sdists.filename, sdists.url, sdists.sha256, sdists.size_bytes, sdists.uploaded_at
    FROM ({probes}) AS found
    JOIN projects ON projects.id = found.project_id
    JOIN upstream_files AS sdists ON sdists.id = found.sdist_id"""
_PLAN_ONCE = text("SET LOCAL plan_cache_mode = 'force_generic_plan'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A node with its machine and what it has to do.

    spare: platforms that it emulates and another node runs by itself: for slots that are left after all else
    running: the sizes of its builds
    """

    node: NodeName
    platforms: tuple[str, ...]
    slots: int
    machine: Machine
    spare: tuple[str, ...] = ()
    running: tuple[int, ...] = ()

    @property
    def free(self) -> int:
        """Slots without a build."""
        return max(min(self.slots, _MOST_SLOTS) - len(self.running), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A queued build with all that its job needs; expected_s: None where nobody knows."""

    id: int
    project_id: int
    project: str
    version: str
    platform: str
    build_number: int
    sdist_id: int
    size: int
    score: float
    expected_s: float | None
    needs: Sequence[str]
    filename: str
    url: str
    sha256: str
    size_bytes: int | None
    uploaded_at: datetime | None


def plan_once(session: Session) -> None:
    """For this transaction: PostgreSQL would plan each look anew, which takes it longer than the look itself."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(_PLAN_ONCE)


def is_short(queued: int, slots: int) -> bool:
    """Whether so many builds are too few to fill all slots twice: then the longest begins first, or it ends alone."""
    return queued < 2 * slots


def choose(
    session: Session,
    desk: Desk,
    *,
    at: datetime | None = None,
    longest_first: bool = False,
    kept_free: set[int] | None = None,
) -> list[Candidate]:
    """The builds for the free slots of a node, the best first.

    A build that failed there in a class that is tried again elsewhere only is left to other nodes. One that has no
    room beside smaller ones that run has the rest of the slots kept free for it, on one node. A build that repeats
    another comes after all others, keeps nothing free, and is left to other nodes for its time.

    at: now, None for the database's clock
    kept_free: the builds that another node keeps its slots free for; added to
    """
    possible = tuple(size for size in range(len(sizes.NEEDS)) if not capacity.fits(size, desk.machine))
    if not (possible and desk.platforms and desk.free):
        return []
    most = 2 * _MOST_SLOTS if longest_first else desk.free
    asked = statement(len(desk.platforms), possible, _rounded(most))
    values: dict[str, Any] = {f"platform_{number}": platform for number, platform in enumerate(desk.platforms)}
    rows = session.connection().execute(asked, {**values, "node": desk.node, "at": at or now(session)})
    found = [Candidate(**row) for row in rows.mappings()]
    found.sort(key=_length if longest_first else _score, reverse=True)
    return _with_room(desk, found, set() if kept_free is None else kept_free)


def _with_room(desk: Desk, found: Collection[Candidate], kept_free: set[int]) -> list[Candidate]:
    running, chosen = list(desk.running), list[Candidate]()
    for item in found:
        if len(chosen) == desk.free:
            break
        if not capacity.fits(item.size, desk.machine, running):
            chosen.append(item)
            running.append(item.size)
        elif max(running) < item.size and item.id not in kept_free and not is_repeat(item.build_number):
            kept_free.add(item.id)
            break
    return chosen


@lru_cache(maxsize=256)
def statement(platforms: int, possible: tuple[int, ...], most: int) -> TextualSelect:
    """One look into ``ix_builds_next`` for each platform and size; the best of each, joined with what a job needs.

    most: of each look; spelt out, not bound: a planner that does not know it takes it for many, and sorts the queue
    """
    probes = " UNION ALL ".join(
        _PROBE.format(at=at, size=size, most=most) for at in range(platforms) for size in possible
    )
    whole = text(_WHOLE.format(probes=probes)).bindparams(bindparam("at", type_=Instant))
    return whole.columns(needs=JSON, uploaded_at=Instant)


def _rounded(most: int) -> int:
    """Up to a power of two: few statements are enough then, and each is planned once."""
    return 1 << (most - 1).bit_length()


def _score(item: Candidate) -> tuple[bool, float, int]:
    return not is_repeat(item.build_number), item.score, item.id


def _length(item: Candidate) -> tuple[bool, float, int, float]:
    """Where nobody knows how long builds take, the larger source is taken to take longer."""
    expected_s = sizes.UNKNOWN_S if item.expected_s is None else item.expected_s
    return not is_repeat(item.build_number), expected_s, item.size_bytes or 0, item.score
