"""The farm itself: its nodes, how far its loops have come, and what people should know."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from schema.db.models.base import Base, Data, Digest, LongText, Moment, Name, one_of, where
from schema.states import NodeState


class Node(Base):
    """A builder node that was enrolled.

    certificate: PEM, signed by the farm's authority
    outbox: where the master collects from: a folder of its own machine, or ``sftp://USER@HOST[:PORT]/PATH``
    allowed_platforms: those the certificate names; platforms: those of them that the node offers now
    emulated: those of platforms that its own processor does not run
    heard_at: the last heartbeat, by the database's clock
    cores, memory_bytes, disk_free_bytes: of the machine, as it says itself; 0 where it does not say
    health: how it is (``schema.vitals.Health``)
    state: as in ``NodeState``
    probation_since: set until what it builds was once compared with what is known (``master.canaries``)
    unfit: why it gets no builds whatever its state, and what to do; "" where it may have some
    version, protocol: of its agent (``schema.protocol``)
    self_test: what it has signed of its sandboxes last, as it came; {}: nothing yet
    revoked_keys: those that no statement may be signed with any more (``certificate.key_digest``)
    redis_sha256: of the password of its Redis user; None: it has no user of its own
    """

    __tablename__ = "nodes"
    __table_args__ = (
        one_of("state", NodeState),
        CheckConstraint("slots >= 0", name="slots_count"),
    )

    name: Mapped[Name] = mapped_column(primary_key=True)
    certificate: Mapped[LongText]
    outbox: Mapped[LongText]
    allowed_platforms: Mapped[Data] = mapped_column(default=list)
    platforms: Mapped[Data] = mapped_column(default=list)
    emulated: Mapped[Data] = mapped_column(default=list, server_default="[]")
    slots: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16), default="active")
    state_reason: Mapped[LongText] = mapped_column(default="")
    probation_since: Mapped[Moment | None]
    revoked_keys: Mapped[Data] = mapped_column(default=list, server_default="[]")
    unfit: Mapped[LongText] = mapped_column(default="", server_default="")
    version: Mapped[Name] = mapped_column(default="")
    self_test: Mapped[Data] = mapped_column(default=dict, server_default="{}")
    protocol: Mapped[int] = mapped_column(default=1, server_default="1")
    facts: Mapped[Data] = mapped_column(default=dict)
    health: Mapped[Data] = mapped_column(default=dict, server_default="{}")
    cores: Mapped[int] = mapped_column(default=0, server_default="0")
    memory_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    disk_free_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    enrolled_at: Mapped[Moment]
    heard_at: Mapped[Moment | None]
    redis_sha256: Mapped[Digest | None]


class HostKey(Base):
    """The SSH host key that a person compared and accepted for a node: before it is enrolled, and from then on.

    node: its name; there may be no such row in ``nodes`` yet
    host, port: where it was shown; key: kind and base64, as in an ``authorized_keys`` file
    """

    __tablename__ = "host_keys"
    __table_args__ = (CheckConstraint("port BETWEEN 1 AND 65535", name="port_range"),)

    node: Mapped[Name] = mapped_column(primary_key=True)
    host: Mapped[Name]
    port: Mapped[int]
    key: Mapped[LongText]
    pinned_at: Mapped[Moment]


class Mark(Base):
    """How far something long has come, so that it goes on there after a restart.

    name: such as ``changelog``, ``reconcile``, ``scrub`` or ``backfill``
    serial: the upstream's, up to which everything was taken; cursor: where a walk goes on; etag: of what was read
    done, total: of the walk's items; total 0 where nobody knows
    started_at, finished_at: of the walk that runs or ran last; note: one line for people
    """

    __tablename__ = "marks"

    name: Mapped[Name] = mapped_column(primary_key=True)
    serial: Mapped[int] = mapped_column(BigInteger, default=0)
    cursor: Mapped[LongText] = mapped_column(default="")
    etag: Mapped[LongText] = mapped_column(default="")
    done: Mapped[int] = mapped_column(BigInteger, default=0)
    total: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[Moment | None]
    finished_at: Mapped[Moment | None]
    changed_at: Mapped[Moment]
    note: Mapped[LongText] = mapped_column(default="")


class AuditEntry(Base):
    """What a person had the farm do. Rows are only ever added: the database itself refuses to change or remove one.

    who: a person's name, as their machine knows it; action: such as ``hold``; subject: such as ``build 12``
    before, after: what changed, as plain data
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[Moment]
    who: Mapped[Name]
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[Name]
    before: Mapped[Data] = mapped_column(default=dict)
    after: Mapped[Data] = mapped_column(default=dict)
    reason: Mapped[LongText] = mapped_column(default="")


class Alarm(Base):
    """Something that a person should look at; it ends by itself when what it tells of ends.

    name: what it is about, such as ``node-silent:pi4``; told_at: when it was sent by webhook or mail
    """

    __tablename__ = "alarms"
    __table_args__ = (where("ix_alarms_open", "name", when="ended_at IS NULL"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[Name]
    text: Mapped[LongText]
    raised_at: Mapped[Moment]
    told_at: Mapped[Moment | None]
    ended_at: Mapped[Moment | None]


class Leadership(Base):
    """The one row that says which master leads; *since* and *until* are by the database's clock.

    holder: such as ``farm-a:4711``, for people; process: which process of which machine that is (``master.leader``)
    epoch: rises with each change of the leader
    """

    __tablename__ = "leadership"
    # Since the epoch is a key, PostgreSQL lets no other process take over while a transaction relies on it (FOR KEY
    # SHARE), but lets the leader renew its lease, which changes no key.
    __table_args__ = (CheckConstraint("id = 1", name="one_row"), UniqueConstraint("epoch"))

    id: Mapped[int] = mapped_column(primary_key=True)
    holder: Mapped[Name]
    process: Mapped[Name] = mapped_column(default="", server_default="")
    epoch: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[Moment | None]
    until: Mapped[Moment]


class Total(Base):
    """A number that is kept with every change, since nobody ever counts millions (``schema.db.totals``)."""

    __tablename__ = "totals"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    platform: Mapped[Name] = mapped_column(primary_key=True, default="")
    what: Mapped[str] = mapped_column(String(32), primary_key=True, default="")
    value: Mapped[int] = mapped_column(BigInteger, default=0)
