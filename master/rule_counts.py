"""How often each rule was used, and how often a wheel came of it: counted when an attempt ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from schema.db.models import Attempt, RuleCount
from schema.db.session import insert
from schema.jobs import BuildJob, BuildResult
from schema.recipes import Rule
from schema.states import AttemptOutcome, FailureClass

# What says nothing about the rules of an attempt.
_NOT_COUNTED = frozenset({FailureClass.NODE, FailureClass.LOST, FailureClass.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """What ``wheelfarm recipes`` tells of a rule.

    applies: when it holds, in words; expires: ISO 8601, None for never
    uses, successes: attempts that ended, and those that gave a wheel; used_at: the end of the last one, or None
    notes: ``expired``, ``unused``
    """

    id: str
    applies: str
    why: str
    uses: int
    successes: int
    used_at: datetime | None
    expires: str | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data; times as ISO 8601."""
        return {**asdict(self), "used_at": self.used_at and self.used_at.isoformat(), "notes": list(self.notes)}


def remember(session: Session, jobs: Iterable[BuildJob]) -> None:
    """Note with each attempt that was just granted which rules its job is made of."""
    for job in jobs:
        if job.recipe.rules:
            session.execute(
                update(Attempt)
                .where(Attempt.build_id == job.build_id, Attempt.fence == job.fence)
                .values(rules=list(job.recipe.rules))
                .execution_options(synchronize_session=False)
            )


def count(session: Session, attempt: Attempt, result: BuildResult) -> None:
    """Count an attempt that has ended for each of its rules, and for those that the node tried.

    The node's own faults and cancelled attempts do not count.
    """
    built = attempt.outcome == AttemptOutcome.BUILT
    if not built and (attempt.outcome != AttemptOutcome.FAILED or attempt.failure_class in _NOT_COUNTED):
        return
    tried = {rule for item in result.tries for remedy in item.added for rule in remedy.rule_ids}
    tried = {rule for rule in tried if rule.startswith(f"{attempt.build.project.name}/")}  # a node may say anything
    lasting = {*attempt.rules, *(rule for remedy in result.remedies for rule in remedy.rule_ids)} if built else set()
    for rule in sorted({*attempt.rules, *tried}):  # in one order: two transactions do not wait for each other
        _count(session, rule, worked=rule in lasting, at=attempt.finished_at)


def _count(session: Session, rule: str, *, worked: bool, at: datetime | None) -> None:
    row = insert(session, RuleCount).values(id=rule, uses=1, successes=int(worked), used_at=at)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[RuleCount.id],
            set_={
                "uses": RuleCount.uses + 1,
                "successes": RuleCount.successes + int(worked),
                "used_at": row.excluded.used_at,
            },
        )
    )


def report(session: Session, rules: Sequence[Rule], *, now: datetime, unused_days: int) -> list[RuleRow]:
    """A row for each rule, in their order.

    unused_days: a rule that was not used for so long is ``unused``
    """
    counts = {row.id: row for row in session.scalars(select(RuleCount))}
    return [_row(rule, counts, now, now - timedelta(days=unused_days)) for rule in rules]


def _row(rule: Rule, counts: Mapping[str, RuleCount], now: datetime, long_ago: datetime) -> RuleRow:
    known = counts.get(rule.id)
    used_at = known.used_at if known else None
    expired = rule.expires is not None and rule.expires < now.date()
    unused = used_at is None or used_at < long_ago
    return RuleRow(
        id=rule.id,
        applies=rule.applies,
        why=rule.why,
        uses=known.uses if known else 0,
        successes=known.successes if known else 0,
        used_at=used_at,
        expires=rule.expires.isoformat() if rule.expires else None,
        notes=(*(["expired"] if expired else []), *(["unused"] if unused else [])),
    )
