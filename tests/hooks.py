"""Webhooks for tests: rows, and what was written for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from schema.db import webhooks as table
from schema.db.models import Delivery, Webhook
from schema.db.session import now, transaction
from schema.webhooks import Event


def hook(session: Session, name: str = "chat", url: str = "https://hooks.example/wheels", *events: Event) -> Webhook:
    return table.add(session, name, url, events, who="ada@host")


def deliveries(session: Session) -> list[Delivery]:
    return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def told(session: Session) -> list[tuple[str, Any]]:
    """Each event that somebody is to be told of, with its data."""
    return [(row.event, row.data) for row in deliveries(session)]


def later(database: Engine, **units: float) -> None:
    """Let so much time pass for all webhooks and deliveries."""
    span = timedelta(**units)
    with transaction(database) as session:
        for row in session.scalars(select(Webhook)):
            row.not_before = row.not_before and row.not_before - span
            row.failing_since = row.failing_since and row.failing_since - span
            row.old_secret_until = row.old_secret_until and row.old_secret_until - span
        for item in deliveries(session):
            item.at, item.due_at = item.at - span, item.due_at - span


def due_now(database: Engine) -> None:
    """Every pause is over."""
    with transaction(database) as session:
        session.execute(update(Webhook).values(not_before=None))
        session.execute(update(Delivery).values(due_at=now(session)))
