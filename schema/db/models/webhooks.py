"""Who is told of events by HTTP, and each message that was, or is to be, sent to them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from schema.db.models.base import Base, Data, LongText, Moment, Name, one_of, where
from schema.webhooks import Outcome


class Webhook(Base):
    """A receiver of events.

    url: what follows its host may be a secret; events: list of ``schema.webhooks.Event``
    secret: ``whsec_…``, as it is, since messages are signed with it; old_secret signs them, too, until old_secret_until
    disabled_at, disabled_because: nothing is sent any more until a person enables it
    failures: in a row, since failing_since; not_before: nothing is sent before; trouble: what came of the last, or ""
    succeeded_at: the last success; dropped: messages that were thrown away because too many waited
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint("failures >= 0", name="failures_count"),
        CheckConstraint("(failures = 0) = (failing_since IS NULL)", name="failures_have_moment"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    url: Mapped[LongText]
    events: Mapped[Data]
    secret: Mapped[LongText]
    old_secret: Mapped[LongText] = mapped_column(default="")
    old_secret_until: Mapped[Moment | None]
    created_at: Mapped[Moment]
    disabled_at: Mapped[Moment | None]
    disabled_because: Mapped[LongText] = mapped_column(default="")
    failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[Moment | None]
    not_before: Mapped[Moment | None]
    trouble: Mapped[LongText] = mapped_column(default="")
    succeeded_at: Mapped[Moment | None]
    dropped: Mapped[int] = mapped_column(BigInteger, default=0)

    def secrets(self, moment: datetime) -> list[str]:
        """Those that a message is signed with now."""
        both = self.old_secret and self.old_secret_until is not None and moment < self.old_secret_until
        return [self.secret, self.old_secret] if both else [self.secret]


class Delivery(Base):
    """A message for a webhook: written with what it tells of, in the same transaction, and sent later.

    message: its id, the same for every webhook that is told of one event; event: an ``Event``, or ``PING``
    data: what it tells; project_id: the project whose pages must be rendered first, None where no page matters
    due_at: the next try; outcome, ended_at: None while it waits; told: what came of the last try
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "message"),
        one_of("outcome", Outcome),
        CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="outcome_has_moment"),
        where("ix_deliveries_due", "webhook_id", "due_at", when="outcome IS NULL"),
        Index(None, "webhook_id", "id"),
        Index(None, "ended_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id"))
    message: Mapped[str] = mapped_column(String(64))
    event: Mapped[str] = mapped_column(String(32))
    data: Mapped[Data]
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    at: Mapped[Moment]
    due_at: Mapped[Moment]
    tries: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[str | None] = mapped_column(String(16))
    ended_at: Mapped[Moment | None]
    told: Mapped[Name] = mapped_column(default="")
