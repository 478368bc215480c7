"""Which files of the store a wheel needs: three range scans of an index, however many wheels there are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from schema.db.models import Wheel
from schema.names import Sha256

_COLUMNS = (Wheel.sha256, Wheel.metadata_sha256, Wheel.provenance_sha256)
_AT_ONCE = 500
_AFTER_EVERY_DIGIT = "g"


def below(session: Session, prefix: str, *, removed_since: datetime | None = None) -> set[Sha256]:
    """The digests with that prefix of wheels that were not removed, or were so only after *removed_since*."""
    found: set[Sha256] = set()
    for column in _COLUMNS:
        wanted = select(column).where(column >= prefix, column < prefix + _AFTER_EVERY_DIGIT, _kept(removed_since))
        found |= {Sha256(digest) for digest in session.scalars(wanted)}
    return found


def wheels(session: Session, digests: Iterable[Sha256], *, removed_since: datetime | None = None) -> list[Wheel]:
    """The wheels that need one of *digests*, with the same limit."""
    found: dict[str, Wheel] = {}
    wanted = list(digests)
    for start in range(0, len(wanted), _AT_ONCE):
        for column in _COLUMNS:
            rows = session.scalars(
                select(Wheel).where(column.in_(wanted[start : start + _AT_ONCE]), _kept(removed_since))
            )
            found |= {wheel.filename: wheel for wheel in rows}
    return list(found.values())


def digests(wheel: Wheel) -> set[Sha256]:
    """The three files of a wheel: itself, its METADATA, its provenance."""
    return {Sha256(digest) for digest in (wheel.sha256, wheel.metadata_sha256, wheel.provenance_sha256)}


def _kept(removed_since: datetime | None) -> ColumnElement[bool]:
    if removed_since is None:
        return Wheel.removed_at.is_(None)
    return or_(Wheel.removed_at.is_(None), Wheel.removed_at > removed_since)
