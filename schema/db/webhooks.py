"""The farm's webhooks: who is told of what, and how that goes; each change of one is in the audit trail.

No entry of the trail, and nothing that is told of a webhook, has its secret or what follows the host of its address.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from schema import webhooks
from schema.db import audit
from schema.db.models import Delivery, Webhook
from schema.db.session import now
from schema.errors import UsageError
from schema.webhooks import PING, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A webhook and how it goes. waiting, given_up: messages; of those given up, only such as are kept."""

    webhook: Webhook
    waiting: int
    given_up: int

    @property
    def state(self) -> str:
        """``off``, ``failing``, or ``on``."""
        return "off" if self.webhook.disabled_at else "failing" if self.webhook.failures else "on"

    @property
    def trouble(self) -> str:
        """Why it is not on; "" where it is."""
        return self.webhook.disabled_because or self.webhook.trouble


def add(session: Session, name: str, url: str, events: Collection[str], *, who: str) -> Webhook:
    """A new one with a new secret, told of *events* (of all where none is named) from now on; raise UsageError."""
    made = Webhook(
        name=webhooks.webhook_name(name),
        url=webhooks.webhook_url(url),
        events=webhooks.webhook_events(events),
        secret=webhooks.new_secret(),
        created_at=now(session),
    )
    if len(session.scalars(select(Webhook.id)).all()) >= webhooks.MOST_WEBHOOKS:
        raise UsageError(f"there are {webhooks.MOST_WEBHOOKS} webhooks", advice="remove one of them")
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise UsageError(f"there is a webhook {name} already", advice=f"wheelfarm webhook remove {name}") from None
    after = {"url": webhooks.shown(made.url), "events": " ".join(made.events)}
    _note(session, made, who=who, action="add", after=after)
    return made


def find(session: Session, name: str, *, keep: bool = False) -> Webhook | None:
    """The one of that name, None if there is none; keep: from other changes until the transaction ends."""
    wanted = select(Webhook).where(Webhook.name == name.replace("\0", ""))
    return session.scalar(wanted.with_for_update() if keep else wanted)


def named(session: Session, name: str, *, keep: bool = False) -> Webhook:
    """The same; raise UsageError if there is none."""
    found = find(session, name, keep=keep)
    if found is None:
        raise UsageError(f"there is no webhook {name[:80]!r}", advice="wheelfarm webhook list names them")
    return found


def everyone(session: Session) -> list[Standing]:
    """All of them, by name."""
    counts = select(Delivery.webhook_id, Delivery.outcome, func.count()).group_by(Delivery.webhook_id, Delivery.outcome)
    many = {(number, outcome): count for number, outcome, count in session.execute(counts)}
    return [
        Standing(
            webhook=row, waiting=many.get((row.id, None), 0), given_up=many.get((row.id, str(Outcome.GIVEN_UP)), 0)
        )
        for row in session.scalars(select(Webhook).order_by(Webhook.name))
    ]


def remove(session: Session, webhook: Webhook, *, who: str) -> None:
    """Tell it of nothing any more, and forget what waited."""
    _note(session, webhook, who=who, action="remove", before={"url": webhooks.shown(webhook.url)})
    session.execute(delete(Delivery).where(Delivery.webhook_id == webhook.id))
    session.delete(webhook)
    session.flush()


def rotate(session: Session, webhook: Webhook, *, who: str) -> str:
    """Another secret, which is given back; the one until now signs too for a day, so that no message is refused."""
    webhook.old_secret, webhook.old_secret_until = webhook.secret, now(session) + webhooks.BOTH_SECRETS
    webhook.secret = webhooks.new_secret()
    _note(session, webhook, who=who, action="rotate-secret")
    return webhook.secret


def enable(session: Session, webhook: Webhook, *, who: str) -> None:
    """Tell it of what happens from now on, as if it had never failed."""
    before = {"disabled": webhook.disabled_because if webhook.disabled_at else ""}
    webhook.disabled_at, webhook.disabled_because = None, ""
    recovered(webhook)
    _note(session, webhook, who=who, action="enable", before=before, after={"disabled": ""})


def recovered(webhook: Webhook) -> None:
    """Its failures until now do not count any more."""
    webhook.failures, webhook.failing_since, webhook.not_before, webhook.trouble = 0, None, None, ""


def ping(session: Session, webhook: Webhook, *, who: str) -> Delivery:
    """Have the master send it a message that tells of nothing else; raise UsageError where it is off."""
    _expect_on(webhook)
    moment = now(session)
    made = Delivery(
        webhook_id=webhook.id,
        message=webhooks.new_message_id(),
        event=PING,
        data={"webhook": webhook.name},
        at=moment,
        due_at=moment,
    )
    session.add(made)
    session.flush()
    note_test(session, webhook, who=who, message=made.message)
    return made


def note_test(session: Session, webhook: Webhook, *, who: str, message: str) -> None:
    """Somebody has it sent a ping with that message id."""
    _note(session, webhook, who=who, action="test", after={"message": message})


def resend(session: Session, webhook: Webhook, number: int | None = None, *, who: str) -> int:
    """Send again at once, and count: the delivery of that *number*, or else all that wait or were given up.

    Raise UsageError where the webhook is off, or has no such delivery.
    """
    _expect_on(webhook)
    wanted = Delivery.id == number if number is not None else Delivery.outcome.is_distinct_from(Outcome.DELIVERED)
    again = update(Delivery).where(Delivery.webhook_id == webhook.id, wanted)
    fresh = {"outcome": None, "ended_at": None, "due_at": now(session), "tries": 0}
    done = session.execute(again.values(fresh).execution_options(synchronize_session=False))
    many = int(done.rowcount)  # type: ignore[attr-defined]
    if number is not None and not many:
        raise UsageError(
            f"{webhook.name} has no delivery {number}", advice=f"wheelfarm webhook deliveries {webhook.name}"
        )
    webhook.not_before = None
    _note(session, webhook, who=who, action="resend", after={"deliveries": many})
    return many


def deliveries(session: Session, webhook: Webhook, *, limit: int, before: int = 0) -> Sequence[Delivery]:
    """Of that webhook, the newest first; before: the number to go on below, 0 for the newest."""
    wanted = select(Delivery).where(Delivery.webhook_id == webhook.id).order_by(Delivery.id.desc()).limit(limit)
    return session.scalars(wanted.where(Delivery.id < before) if before else wanted).all()


def _expect_on(webhook: Webhook) -> None:
    if webhook.disabled_at is not None:
        raise UsageError(
            f"the webhook {webhook.name} is off: {webhook.disabled_because}",
            advice=f"wheelfarm webhook enable {webhook.name}",
        )


def _note(
    session: Session,
    webhook: Webhook,
    *,
    who: str,
    action: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    subject = f"webhook {webhook.name}"
    audit.note(session, who=who, action=action, subject=subject, before=before, after=after)
