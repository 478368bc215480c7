"""Webhooks: who is told of events by HTTP. Only administrators see them, with a token that may do everything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from flask import abort
from msgspec import Meta
from sqlalchemy.orm import Session

from schema.db import webhooks as table
from schema.db.models import Delivery, Webhook
from schema.people import Role, Scope
from schema.printable import printable
from schema.webhooks import MOST_URL, Event, shown
from web.api.asked import Numbered, Text, paged
from web.api.endpoints import Page, View, endpoint
from web.pages.asked import database
from web.people.guard import someone


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """A receiver. where: its address up to the host; state: on, failing or off; trouble: why it is not on."""

    name: str
    where: str
    events: list[str]
    state: str
    trouble: str
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    succeeded_at: datetime | None
    waiting: int
    given_up: int
    dropped: int

    @classmethod
    def of(cls, item: table.Standing) -> WebhookRow:
        """As the page of settings shows it."""
        row = item.webhook
        same = ("name", "events", "created_at", "failing_since", "disabled_at", "succeeded_at", "dropped")
        return cls(
            where=shown(row.url),
            state=item.state,
            trouble=printable(item.trouble),
            waiting=item.waiting,
            given_up=item.given_up,
            **{name: getattr(row, name) for name in same},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A message. message: its id; outcome: delivered or given-up, None while it waits; told: of the last try."""

    id: int
    message: str
    event: str
    data: dict[str, Any]
    at: datetime
    due_at: datetime
    tries: int
    outcome: str | None
    ended_at: datetime | None
    told: str

    @classmethod
    def of(cls, row: Delivery) -> DeliveryRow:
        """From the row."""
        return cls(**{name: getattr(row, name) for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """What a new one is. events: none for all of them."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    url: Annotated[str, Meta(min_length=1, max_length=MOST_URL)]
    events: Annotated[tuple[Event, ...], Meta(max_length=len(Event))] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedWebhook:
    """A new one. secret: what its messages are signed with; nobody can be told it again."""

    name: str
    events: list[str]
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """A ping that the master will send. delivery: its number."""

    delivery: int


def webhooks() -> list[WebhookRow]:
    """All of them, by name."""
    with database().reading() as session:
        return [WebhookRow.of(item) for item in table.everyone(session)]


def add_webhook(body: NewWebhook) -> AddedWebhook:
    """Tell an address of events from now on."""
    with database().writing() as session:
        made = table.add(session, body.name, body.url, body.events, who=someone().who)
        return AddedWebhook(name=made.name, events=list(made.events), secret=made.secret)


def remove_webhook(name: Text) -> WebhookRow:
    """Tell it of nothing any more; the answer is how it was."""
    with database().writing() as session:
        found = _named(session, name)
        row = _row(session, found)
        table.remove(session, found, who=someone().who)
        return row


def enable_webhook(name: Text) -> WebhookRow:
    """Tell it of events again."""
    with database().writing() as session:
        found = _named(session, name)
        table.enable(session, found, who=someone().who)
        return _row(session, found)


def test_webhook(name: Text) -> Ping:
    """Have the master send it a ping; its deliveries tell what came of that."""
    with database().writing() as session:
        return Ping(delivery=table.ping(session, _named(session, name), who=someone().who).id)


def deliveries(name: Text, query: Numbered) -> Page[DeliveryRow]:
    """What was, or is to be, sent to it, the newest first."""
    with database().reading() as session:
        webhook = table.find(session, name) or abort(HTTPStatus.NOT_FOUND)
        found = table.deliveries(session, webhook, limit=query.limit + 1, before=query.cursor)
    return paged(found, query.limit, DeliveryRow.of, lambda row: row.id)


def _named(session: Session, name: str) -> Webhook:
    return table.find(session, name, keep=True) or abort(HTTPStatus.NOT_FOUND)


def _row(session: Session, webhook: Webhook) -> WebhookRow:
    [row] = [WebhookRow.of(item) for item in table.everyone(session) if item.webhook is webhook]
    return row


def _declare(method: str, rule: str, view: View, status: HTTPStatus = HTTPStatus.OK) -> None:
    endpoint(method, rule, view, role=Role.ADMIN, scope=Scope.ADMIN, status=status)


_declare("GET", "/webhooks", webhooks)
_declare("POST", "/webhooks", add_webhook, HTTPStatus.CREATED)
_declare("DELETE", "/webhooks/<name>", remove_webhook)
_declare("POST", "/webhooks/<name>/enable", enable_webhook)
_declare("POST", "/webhooks/<name>/test", test_webhook, HTTPStatus.ACCEPTED)
_declare("GET", "/webhooks/<name>/deliveries", deliveries)
