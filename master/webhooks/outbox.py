"""The outbox: which messages are written, which is sent next, and what becomes of it."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from master.webhooks.post import Answer
from schema import webhooks
from schema.db.models import Delivery, DirtyPage, Webhook
from schema.db.session import now
from schema.db.webhooks import recovered
from schema.printable import one_line
from schema.webhooks import PING, Event, Outcome

# Of each webhook; what is beyond it goes, the oldest first.
MOST_WAITING: Final = 10_000
MOST_ENDED: Final = 1_000
# Pauses after the first try and those that follow: the schedule that the specification recommends.
PAUSES: Final = tuple(
    timedelta(**pause)
    for pause in (
        {"seconds": 5}, {"minutes": 5}, {"minutes": 30}, {"hours": 2}, {"hours": 5},
        {"hours": 10}, {"hours": 14}, {"hours": 20}, {"hours": 24},
    )
)  # fmt: skip
_LATE: Final = 0.1  # by so much of itself a pause is longer, at most, so that not all come at once
_TOO_OLD: Final = timedelta(days=4)
# While a receiver fails, messages behind the one that failed wait too: from 5 seconds on, doubled each time.
_REST: Final = timedelta(seconds=5)
_LONGEST_REST: Final = timedelta(minutes=5)
_FAILS_FOR_GOOD: Final = timedelta(days=5)
_TOLD: Final = 255
_GONE: Final = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message that is to be sent now. secrets: as ``Webhook.secrets``; data: as in ``Delivery``."""

    number: int
    webhook: str
    url: str
    secrets: list[str]
    message: str
    event: str
    data: Mapping[str, Any]
    at: datetime


def wanting(session: Session, *events: Event) -> dict[Event, list[int]]:
    """Those of *events* that somebody wants to be told of, with the webhooks.

    Nobody removes one of them while this transaction lasts; the table has a few rows, mostly none.
    """
    on = select(Webhook.id, Webhook.events).where(Webhook.disabled_at.is_(None))
    rows = session.execute(on.with_for_update(read=True, key_share=True)).all()
    found = {event: [number for number, wanted in rows if event in wanted] for event in events}
    return {event: numbers for event, numbers in found.items() if numbers}


def put(
    session: Session, hooks: Collection[int], event: Event, data: Mapping[str, Any], *, project_id: int | None = None
) -> None:
    """Have *hooks* told, once this transaction is committed; project_id: and once that project's pages say it too."""
    message, moment = webhooks.new_message_id(), now(session)
    session.add_all(
        Delivery(
            webhook_id=number, message=message, event=event, data=dict(data), project_id=project_id, at=moment,
            due_at=moment,
        )
        for number in hooks
    )  # fmt: skip


def due(session: Session) -> list[int]:
    """The webhooks that have something to be sent now."""
    moment = now(session)
    ready = exists().where(Delivery.webhook_id == Webhook.id, *_ready(moment))
    return list(session.scalars(select(Webhook.id).where(*_may_be_told(moment), ready)))


def take(session: Session, webhook_id: int) -> Parcel | None:
    """What that webhook is sent next: what is due for longest; None if nothing is."""
    moment = now(session)
    wanted = select(Delivery, Webhook).join(Webhook, Webhook.id == Delivery.webhook_id)
    wanted = wanted.where(Webhook.id == webhook_id, *_may_be_told(moment), *_ready(moment))
    found = session.execute(wanted.order_by(Delivery.due_at, Delivery.id).limit(1)).first()
    if found is None:
        return None
    delivery, webhook = found
    return Parcel(
        number=delivery.id,
        webhook=webhook.name,
        url=webhook.url,
        secrets=webhook.secrets(moment),
        message=delivery.message,
        event=delivery.event,
        data=delivery.data,
        at=delivery.at,
    )


def settle(session: Session, webhook_id: int, number: int, answer: Answer) -> str:
    """Write down what came of delivery *number*; give what an operator should know of it, or ""."""
    webhook = _kept(session, webhook_id)
    if webhook is None:
        return ""
    moment = now(session)
    delivery = session.get(Delivery, number)
    if delivery is not None and delivery.outcome is None:
        _settle_one(delivery, answer, moment)
    if answer.is_success:
        news = f"webhook {webhook.name} takes messages again" if webhook.failures else ""
        recovered(webhook)
        webhook.succeeded_at = moment
        return news
    news = "" if webhook.failures else f"webhook {webhook.name} {answer.told}; it is tried again"
    webhook.failures += 1
    webhook.failing_since = webhook.failing_since or moment
    webhook.trouble = one_line(answer.told, limit=_TOLD)
    webhook.not_before = moment + max(_rest(webhook.failures), answer.retry_after or timedelta())
    if answer.status == _GONE:
        return _disable(session, webhook, "the receiver answered 410: it wants no more", moment)
    if moment - webhook.failing_since >= _FAILS_FOR_GOOD:
        return _disable(session, webhook, f"it failed for {_FAILS_FOR_GOOD.days} days: {webhook.trouble}", moment)
    return news


def cut_waiting(session: Session, webhook_id: int, *, keep: int = MOST_WAITING) -> str:
    """Drop the oldest that wait beyond *keep*, and count them in the webhook's row; what to tell of it."""
    webhook = _kept(session, webhook_id)
    many = _cut(session, webhook_id, Delivery.outcome.is_(None), keep=keep)
    if webhook is None or not many:
        return ""
    webhook.dropped += many
    return f"webhook {webhook.name}: {many} messages too many wait; the oldest are dropped"


def cut_ended(session: Session, webhook_id: int, *, keep: int = MOST_ENDED) -> None:
    """Forget the oldest that ended beyond *keep*."""
    _kept(session, webhook_id)
    _cut(session, webhook_id, Delivery.outcome.is_not(None), keep=keep)


def overfull(session: Session, *, keep: int = MOST_WAITING) -> Iterator[int]:
    """The webhooks of which more than *keep* messages wait."""
    for number in session.scalars(select(Webhook.id)).all():
        if session.scalar(_beyond(number, Delivery.outcome.is_(None), keep)) is not None:
            yield number


def _kept(session: Session, webhook_id: int) -> Webhook | None:
    """The webhook, before any of its deliveries is touched: whoever writes to both begins here, so none waits for ever.

    Messages for it can be written meanwhile.
    """
    return session.get(Webhook, webhook_id, with_for_update={"key_share": True})


def _settle_one(delivery: Delivery, answer: Answer, moment: datetime) -> None:
    delivery.tries += 1
    delivery.told = one_line(answer.told, limit=_TOLD)
    if answer.is_success:
        delivery.outcome, delivery.ended_at = Outcome.DELIVERED, moment
    elif delivery.event == PING or delivery.tries > len(PAUSES) or moment - delivery.at > _TOO_OLD:
        delivery.outcome, delivery.ended_at = Outcome.GIVEN_UP, moment
    else:
        pause = PAUSES[delivery.tries - 1]
        delivery.due_at = moment + pause * (1 + random.uniform(0, _LATE))  # noqa: S311 - no secret


def _rest(failures: int) -> timedelta:
    return min(_REST * (1 << min(failures - 1, 10)), _LONGEST_REST)


def _disable(session: Session, webhook: Webhook, why: str, moment: datetime) -> str:
    webhook.disabled_at, webhook.disabled_because = moment, why
    session.flush()
    waits = update(Delivery).where(Delivery.webhook_id == webhook.id, Delivery.outcome.is_(None))
    session.execute(waits.values(outcome=Outcome.GIVEN_UP, ended_at=moment, told="the webhook was switched off"))
    return f"webhook {webhook.name} is off: {why}"


def _may_be_told(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    return Webhook.disabled_at.is_(None), or_(Webhook.not_before.is_(None), Webhook.not_before <= moment)


def _ready(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    unseen = exists().where(DirtyPage.project_id == Delivery.project_id)
    return Delivery.outcome.is_(None), Delivery.due_at <= moment, or_(Delivery.project_id.is_(None), ~unseen)


def _beyond(webhook_id: int, which: ColumnElement[bool], keep: int) -> Any:  # noqa: ANN401 - a query
    """The newest of them that is one too many."""
    wanted = select(Delivery.id).where(Delivery.webhook_id == webhook_id, which)
    return wanted.order_by(Delivery.id.desc()).offset(keep).limit(1)


def _cut(session: Session, webhook_id: int, which: ColumnElement[bool], *, keep: int) -> int:
    last = session.scalar(_beyond(webhook_id, which, keep))
    if last is None:
        return 0
    old = delete(Delivery).where(Delivery.webhook_id == webhook_id, which, Delivery.id <= last)
    return int(session.execute(old.execution_options(synchronize_session=False)).rowcount)  # type: ignore[attr-defined]
