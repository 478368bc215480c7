"""The audit trail: each thing that a person has the farm do leaves a row, written with the change itself.

Rows are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db.models import AuditEntry
from schema.db.session import now
from schema.printable import one_line

_WHO_CHARACTERS = 255
_REASON_CHARACTERS = 1000


def note(
    session: Session,
    *,
    who: str,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Add an entry to the transaction that makes the change.

    subject: ``build 12``, ``node pi4``, ``project numpy``, ``list NAME`` or ``farm``
    before, after: of what changed, as plain data
    """
    session.add(
        AuditEntry(
            at=now(session),
            who=one_line(who, limit=_WHO_CHARACTERS),
            action=action,
            subject=one_line(subject, limit=_WHO_CHARACTERS),
            before=dict(before or {}),
            after=dict(after or {}),
            reason=one_line(reason, limit=_REASON_CHARACTERS),
        )
    )


def entries(
    session: Session, *, limit: int, subject: str = "", before: int = 0, since: datetime | None = None
) -> list[AuditEntry]:
    """The newest first, *limit* at most.

    subject: such as ``build 12``, "" for all; before: the number to go on below, 0 for the newest
    since: None for all times
    """
    wanted = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if subject:
        wanted = wanted.where(AuditEntry.subject == subject)
    if before:
        wanted = wanted.where(AuditEntry.id < before)
    if since is not None:
        wanted = wanted.where(AuditEntry.at >= since)
    return list(session.scalars(wanted))


def change(entry: AuditEntry) -> str:
    """What was changed, on one line: ``state: queued → held``; whatever else stands in the row is only shown."""
    before, after = _mapping(entry.before), _mapping(entry.after)
    keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]
    return "; ".join(f"{key}: {_short(before.get(key))} → {_short(after.get(key))}" for key in keys)


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a JSON column
    return value if isinstance(value, Mapping) else {}


def _short(value: object) -> str:
    return "none" if value is None or value == "" else one_line(str(value), limit=120)
