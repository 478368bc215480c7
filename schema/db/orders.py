"""The orders that people gave: asked for by the front-end, done by the master."""

from __future__ import annotations

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from schema import orders
from schema.db.models import Order
from schema.db.session import now
from schema.errors import BusyError

_MOST_OPEN = 1000


def ask(session: Session, order: orders.Order, *, who: str) -> Order:
    """Have the master do it; raise BusyError where it has too many to do already."""
    waiting = select(Order.id).where(Order.outcome.is_(None)).limit(_MOST_OPEN)
    if (session.scalar(select(func.count()).select_from(waiting.subquery())) or 0) >= _MOST_OPEN:
        raise BusyError(f"{_MOST_OPEN} orders wait for the master", advice="is it running? wheelfarm status tells")
    row = Order(who=who, action=orders.name_of(order), arguments=msgspec.to_builtins(order), asked_at=now(session))
    session.add(row)
    session.flush()
    return row


def latest(session: Session, *, limit: int, before: int = 0) -> list[Order]:
    """The newest first, without what was told to them and their results, which may be long.

    before: the number to go on below, 0 for the newest
    """
    wanted = select(Order).options(defer(Order.arguments, raiseload=True), defer(Order.result, raiseload=True))
    wanted = wanted.order_by(Order.id.desc()).limit(limit)
    return list(session.scalars(wanted.where(Order.id < before) if before else wanted))
