"""What building a share of the builds twice has shown (``master.repeats``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from schema.db.models import Canary, Repeat
from schema.repeats import Repeated


def figures(session: Session) -> dict[str, int]:
    """Verdict → builds, in the order of ``Repeated``; verdicts that no build has are left out."""
    rows = select(Repeat.verdict, func.count()).where(Repeat.verdict.is_not(None)).group_by(Repeat.verdict)
    found = {str(verdict): count for verdict, count in session.execute(rows)}
    return {verdict.value: found[verdict] for verdict in Repeated if verdict in found}


def of(session: Session, build_id: int) -> Repeat | Canary | None:
    """The repeat of that build, or that build's own row if it is itself one, or a canary; None where there is none."""
    found = session.scalar(select(Repeat).where((Repeat.build_id == build_id) | (Repeat.again_id == build_id)))
    return found or session.get(Canary, build_id)


def to_json(row: Repeat | Canary) -> dict[str, Any]:
    """Plain data; verdict: None while it is being repeated."""
    return {
        "build": row.build_id,
        "again": row.again_id,
        "verdict": row.verdict,
        "detail": row.detail,
        "node": row.node,
        "at": row.told_at.isoformat(timespec="seconds") if row.told_at else None,
    }


def sentence(counts: dict[str, int]) -> str:
    """Such as ``12 built twice: 11 identical (92 %), 1 differs (8 %)``; "" where none was."""
    total = sum(counts.values())
    shares = ", ".join(
        f"{count:,} {verdict.replace('-', ' ')} ({100 * count / total:.0f} %)" for verdict, count in counts.items()
    )
    return f"{total:,} built twice: {shares}" if total else ""
