"""The rules of people's recipes, and what came of each (``master.rule_counts`` keeps the counts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db.models import RuleCount
from schema.recipes import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """What people are told of a rule.

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


def report(session: Session, rules: Sequence[Rule], *, now: datetime, unused_days: int) -> list[RuleRow]:
    """A row for each rule, in their order.

    unused_days: a rule that was not used for so long is ``unused``
    """
    known = select(RuleCount).where(RuleCount.id.in_([rule.id for rule in rules]))
    counts = {row.id: row for row in session.scalars(known)}
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
