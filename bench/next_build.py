"""The next build out of many (G12): choosing and leasing one, beside a bare ``UPDATE … RETURNING`` of the same rows.

Both are measured in turns, so that a noisy moment of the machine meets both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, bindparam, text, update
from sqlalchemy.sql.elements import TextClause

from master.choose import Desk, choose, plan_once
from master.dispatch import Dispatcher
from master.leasing import lease_many
from schema.capacity import Machine
from schema.db import counts
from schema.db.models import Instant, Node
from schema.db.session import now, transaction
from schema.jobs import Limits
from schema.names import NodeName

_PLATFORM = "debian12-x86_64-cp311"
_ROUNDS = 400

_FILL = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})",
    "postgresql": "WITH n(i) AS (SELECT generate_series({first}, {last}))",
}
_PROJECT = """INSERT INTO projects
    (id, name, title, status, status_reason, etag, last_modified, check_at, errors, error)
    VALUES (1, 'demo', 'demo', 'active', '', '', '', :now, 0, '')"""
_SDIST = """INSERT INTO upstream_files (id, project_id, filename, version, kind, url, sha256, seen_at)
    VALUES (1, 1, 'demo-1.0.tar.gz', '1.0', 'sdist', 'http://127.0.0.1/demo-1.0.tar.gz', :sha256, :now)"""
_BUILDS = """INSERT INTO builds
    (id, project_id, version, platform, build_number, sdist_id, policy, state, reason, score,
        size, fence, pardoned_fence, needs, created_at, changed_at)
    {numbers} SELECT i, 1, '1.' || i, '{platform}', 0, 1, 'missing', 'queued', '',
        (CAST(i AS BIGINT) * 7919) % 1000003, i % 2,
        0, 0, '[]', :now, :now FROM n"""
_BARE = """UPDATE builds
    SET state = 'leased', fence = fence + 1, leased_to = 'bench', lease_until = :now, changed_at = :now
    WHERE id = (SELECT id FROM builds WHERE state = 'queued' AND platform = :platform AND size = 1
        ORDER BY score DESC, id DESC LIMIT 1) RETURNING id"""
_AGAIN = """UPDATE builds SET state = 'queued', leased_to = NULL, pardoned_fence = fence, score = score - 1000003
    WHERE leased_to IS NOT NULL"""
_DESK = Desk(
    node=NodeName("bench"),
    platforms=(_PLATFORM,),
    slots=1,
    machine=Machine(memory_bytes=256 * 2**30, disk_free_bytes=2**40),
)
_DISPATCHER = Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90.0, silent_after_s=900.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Milliseconds for each build, p50 and p99: of ours and of the bare statement."""

    ours: tuple[float, float]
    bare: tuple[float, float]

    @property
    def ratios(self) -> tuple[float, float]:
        """p50 and p99 of ours over those of the bare statement."""
        return self.ours[0] / self.bare[0], self.ours[1] / self.bare[1]


def fill(database: Engine, *, first: int, last: int) -> float:
    """Queue builds with the numbers *first* to *last*; return the seconds that took."""
    numbers = _FILL[database.dialect.name].format(first=first, last=last)
    began = time.monotonic()
    with transaction(database) as session:
        values = {"now": now(session)}
        connection = session.connection()
        if first == 1:
            connection.execute(_timed(_PROJECT), values)
            connection.execute(_timed(_SDIST), {**values, "sha256": "0" * 64})
        connection.execute(_timed(_BUILDS.format(numbers=numbers, platform=_PLATFORM)), values)
        counts.note(session, _PLATFORM, entered="queued", builds=last - first + 1)
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return time.monotonic() - began


def enrol(database: Engine) -> None:
    """A node with room for all that it may get."""
    with transaction(database) as session:
        moment = now(session)
        session.add(
            Node(
                name="bench",
                certificate="",
                outbox="/nowhere",
                allowed_platforms=[_PLATFORM],
                platforms=[_PLATFORM],
                slots=1,
                memory_bytes=256 * 2**30,
                enrolled_at=moment,
                heard_at=moment,
            )
        )


def measure(database: Engine) -> dict[str, Figures]:
    """A claim of one build, and turns of the dispatcher for nodes with 1, 8 and 64 free slots."""
    found = {"claim": _measure(database, _claim)}
    for slots in (1, 8, 64):
        with transaction(database) as session:
            session.execute(update(Node).values(slots=slots, heard_at=now(session)))
        found[f"round {slots}"] = _measure(database, _round)
    return found


def _measure(database: Engine, claim: Callable[[Engine], int]) -> Figures:
    """*claim* (one transaction; gives back how many builds it leased) and the bare statement, in turns."""
    ours, bare = [], []
    for round_ in range(_ROUNDS):
        began = time.perf_counter()
        leased = claim(database)
        between = time.perf_counter()
        _bare_claim(database)
        if round_ >= _ROUNDS // 10:  # the first ones fill caches
            ours.append(1000 * (between - began) / leased)
            bare.append(1000 * (time.perf_counter() - between))
        _queue_again(database, leased)
    return Figures(ours=_percentiles(ours), bare=_percentiles(bare))


def _claim(database: Engine) -> int:
    with transaction(database) as session:
        moment = now(session)
        plan_once(session)
        [build] = choose(session, _DESK, at=moment)
        return len(lease_many(session, [build.id], node=_DESK.node, at=moment, lease_s=90.0))


def _round(database: Engine) -> int:
    with transaction(database) as session:
        return len(_DISPATCHER.dispatch(session))


def _queue_again(database: Engine, leased: int) -> None:
    """The slots are free again; what was leased comes behind all others."""
    with transaction(database) as session:
        session.connection().execute(text(_AGAIN))
        counts.note(session, _PLATFORM, left="leased", entered="queued", builds=leased)


def _bare_claim(database: Engine) -> None:
    with transaction(database) as session:
        values = {"now": now(session), "platform": _PLATFORM}
        session.connection().execute(_timed(_BARE), values).one()


def _timed(statement: str) -> TextClause:
    """With the type of ``:now``."""
    made = text(statement)
    return made.bindparams(bindparam("now", type_=Instant)) if ":now" in statement else made


def _percentiles(values: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]
