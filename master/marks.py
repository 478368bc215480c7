"""The row of ``marks`` in which something long remembers how far it came."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from schema.db.models import Mark
from schema.db.session import now


def at(session: Session, name: str) -> Mark:
    """The mark of that name, made if there is none; whoever asks is about to change it."""
    mark = session.get(Mark, name)
    if mark is None:
        mark = Mark(name=name, serial=0, cursor="", etag="", done=0, total=0, note="", changed_at=now(session))
        session.add(mark)
    mark.changed_at = now(session)
    return mark


def begin(mark: Mark, *, fingerprint: str, total: int, note: str, now: datetime) -> None:
    """A walk begins anew, for *fingerprint* (kept as ``etag``) of what it is about."""
    mark.etag, mark.cursor, mark.done, mark.total, mark.note = fingerprint, "", 0, total, note
    mark.started_at, mark.finished_at = now, None
