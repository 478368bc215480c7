"""People who log in, what proves that they did, and what they asked the farm to do."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from schema.db.models.base import Base, Data, Digest, LongText, Moment, Name, one_of, where
from schema.people import Role


class User(Base):
    """A person who may log in.

    password: its argon2id hash, with salt and costs
    totp: the secret (base32) of the second factor, "" for none; totp_step: the last one that was used, by RFC 6238
    """

    __tablename__ = "users"
    __table_args__ = (one_of("role", Role),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[LongText]
    totp: Mapped[LongText] = mapped_column(default="")
    totp_step: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[Moment]
    disabled_at: Mapped[Moment | None]


class LoginSession(Base):
    """A browser in which a person logged in.

    digest: SHA-256 of the id that its cookie holds; new_totp: a second factor that is being set up, "" for none
    """

    __tablename__ = "login_sessions"
    __table_args__ = (Index(None, "user_id"), Index(None, "until"))

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    began_at: Mapped[Moment]
    until: Mapped[Moment]
    new_totp: Mapped[LongText] = mapped_column(default="")

    user: Mapped[User] = relationship()


class LoginFailure(Base):
    """How often logging in failed of late; accounts and addresses are hashed into a fixed number of buckets."""

    __tablename__ = "login_failures"
    __table_args__ = (CheckConstraint("failures >= 0", name="failures_count"),)

    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    failures: Mapped[int]
    since: Mapped[Moment]


class ApiToken(Base):
    """What a program proves itself with, in a person's name.

    label: what it is for, in the person's words; digest: SHA-256 of the whole token; start: its first characters
    scopes: list of ``schema.people.Scope``; used_at: to the minute
    """

    __tablename__ = "api_tokens"
    __table_args__ = (UniqueConstraint("digest"), Index(None, "user_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    label: Mapped[Name]
    start: Mapped[str] = mapped_column(String(16))
    digest: Mapped[Digest]
    scopes: Mapped[Data]
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]

    user: Mapped[User] = relationship()


class Order(Base):
    """Something that a person asked the master to do (``schema.orders``); only the front-end adds rows.

    who: as in ``AuditEntry``; arguments: of the action, as JSON
    outcome: ``done``, ``refused`` (it cannot be done) or ``failed`` (a fault of the farm); None: the master has not
        come to it; told: what became of it, for people; result: the same as data
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("outcome IN ('done', 'refused', 'failed')", name="outcome_known"),
        CheckConstraint("(outcome IS NULL) = (done_at IS NULL)", name="outcome_has_moment"),
        where("ix_orders_open", "id", when="outcome IS NULL"),
        Index(None, "asked_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[Name]
    action: Mapped[str] = mapped_column(String(32))
    arguments: Mapped[Data]
    asked_at: Mapped[Moment]
    done_at: Mapped[Moment | None]
    outcome: Mapped[str | None] = mapped_column(String(16))
    told: Mapped[LongText] = mapped_column(default="")
    result: Mapped[Data] = mapped_column(default=dict)


class PinnedRecipe(Base):
    """What a person has a release on a platform built with, beside the rules of its recipe (``master.pinned``).

    actions: as in ``schema.recipes.Actions``; who: as in ``AuditEntry``
    """

    __tablename__ = "pinned_recipes"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    version: Mapped[Name] = mapped_column(primary_key=True)
    platform: Mapped[Name] = mapped_column(primary_key=True)
    actions: Mapped[Data]
    who: Mapped[Name]
    set_at: Mapped[Moment]
