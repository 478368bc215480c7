"""The tables. Rules that must always hold stand in the database, not only in code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy import text as sql
from sqlalchemy import types as sqltypes
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from schema import repeats
from schema.repeats import Repeated
from schema.states import AttemptOutcome, BuildPolicy, BuildState


class Instant(sqltypes.TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite, which keeps no zone, gets and gives it as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes: nobody can tell which clock they mean."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime reached the database: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Moment = Annotated[datetime, mapped_column(Instant)]
Digest = Annotated[str, mapped_column(String(64))]
Name = Annotated[str, mapped_column(String(255))]
LongText = Annotated[str, mapped_column(Text)]
Data = Annotated[Any, mapped_column(JSON)]


class Base(DeclarativeBase):
    """Constraint names are fixed, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _one_of(column: str, values: type) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(item)) for item in values)})", name=f"{column}_known")  # type: ignore[attr-defined]


def _where(name: str, *columns: str, when: str) -> Index:
    """An index over the few rows that a loop asks for, however many others there are."""
    return Index(name, *columns, sqlite_where=sql(when), postgresql_where=sql(when))


class Project(Base):
    """A project that the upstream has, or had, and that somebody asked for.

    name: normalised (PEP 503); title: as the project spells it
    status: PEP 792's, or ``missing`` when the upstream answers 404
    etag, last_modified: of the last page read, for conditional requests
    check_at: when to look again; errors: failed looks in a row
    serial: the upstream's, of the last page that was taken; event_serial: the highest that an event named; 0: none yet
    undecided: some of its requests are to be resolved, maybe again (``master.undecided``)
    downloads: of the imported ranking; dependents: how many projects of the farm need it
    """

    __tablename__ = "projects"
    __table_args__ = (
        CheckConstraint(
            "status IN ('active', 'archived', 'deprecated', 'quarantined', 'missing')", name="status_known"
        ),
        Index(None, "check_at"),
        _where("ix_projects_undecided", "id", when="undecided AND checked_at IS NOT NULL"),
        _where("ix_projects_downloads", "downloads", when="downloads > 0"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    title: Mapped[Name]
    status: Mapped[str] = mapped_column(String(16), default="active")
    status_reason: Mapped[LongText] = mapped_column(default="")
    etag: Mapped[LongText] = mapped_column(default="")
    last_modified: Mapped[LongText] = mapped_column(default="")
    checked_at: Mapped[Moment | None]
    check_at: Mapped[Moment]
    errors: Mapped[int] = mapped_column(default=0)
    error: Mapped[LongText] = mapped_column(default="")
    serial: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    event_serial: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    undecided: Mapped[bool] = mapped_column(default=False, server_default=false())
    downloads: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    dependents: Mapped[int] = mapped_column(default=0, server_default="0")

    files: Mapped[list[UpstreamFile]] = relationship(back_populates="project")
    builds: Mapped[list[Build]] = relationship(back_populates="project", foreign_keys="Build.project_id")
    wheels: Mapped[list[Wheel]] = relationship(back_populates="project")


class UpstreamFile(Base):
    """A file on the project's upstream page.

    version: canonical; kind: ``sdist`` or ``wheel``
    sha256: None where the upstream gives none: such a file is never used
    yanked: None, or the reason ("" where none was given)
    gone_at: when it was missing from the page for the first time
    gone_told: whether an event spoke of a change since it was last seen; without one its builds are only hidden (R15)
    """

    __tablename__ = "upstream_files"
    __table_args__ = (
        UniqueConstraint("project_id", "filename"),
        CheckConstraint("kind IN ('sdist', 'wheel')", name="kind_known"),
        Index(None, "project_id", "version"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    filename: Mapped[Name]
    version: Mapped[Name]
    kind: Mapped[str] = mapped_column(String(8))
    url: Mapped[LongText]
    sha256: Mapped[Digest | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    requires_python: Mapped[LongText | None]
    metadata_sha256: Mapped[Digest | None]
    yanked: Mapped[LongText | None]
    uploaded_at: Mapped[Moment | None]
    seen_at: Mapped[Moment]
    gone_at: Mapped[Moment | None]
    gone_told: Mapped[bool] = mapped_column(default=False, server_default=false())

    project: Mapped[Project] = relationship(back_populates="files")


class Request(Base):
    """Somebody wants a project: a person, a list, a client, the farm's scope, or a wheel that needs it.

    specifier: a version range, "" for any; platform: "" for all that the farm builds for
    extras: joined by commas; dependencies: the policy for what its wheel needs in turn
    origin: ``person``, ``list``, ``demand`` (a client asked the index), ``scope`` (of the farm) or ``dependency``
    because: such as ``paramiko 4.0.0 needs it``
    every_release: not only the newest version that fits, but each
    resolved_at: when it was last turned into builds; None means still to do
    problem: why no version fits, or ""
    """

    __tablename__ = "requests"
    __table_args__ = (
        UniqueConstraint("project_id", "specifier", "platform", "because"),
        _one_of("policy", BuildPolicy),
        _one_of("dependencies", BuildPolicy),
        CheckConstraint("origin IN ('person', 'list', 'demand', 'scope', 'dependency')", name="origin_known"),
        _where("ix_requests_listed", "because", when="origin = 'list'"),
        _where("ix_requests_demanded", "id", when="origin = 'demand'"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    specifier: Mapped[Name] = mapped_column(default="")
    platform: Mapped[Name] = mapped_column(default="")
    extras: Mapped[Name] = mapped_column(default="")
    policy: Mapped[str] = mapped_column(String(16))
    dependencies: Mapped[str] = mapped_column(String(16), default=BuildPolicy.MISSING)
    origin: Mapped[str] = mapped_column(String(16))
    every_release: Mapped[bool] = mapped_column(default=False, server_default=false())
    because: Mapped[LongText] = mapped_column(default="")
    created_at: Mapped[Moment]
    resolved_at: Mapped[Moment | None]
    problem: Mapped[LongText] = mapped_column(default="")

    project: Mapped[Project] = relationship()


class Build(Base):
    """One release on one platform, from being wanted to being published.

    build_number: of its wheel, or below 0 for one that repeats another (``schema.repeats``)
    sdist_id: None where the release has none (then it is unneeded or failed)
    reason: one sentence that says why the build is in this state
    origin: the strongest of those who asked, as in ``Request``
    score: higher is built sooner (``schema.score``); boost: an operator's part of it
    size: what it may take of a machine (``schema.sizes``); expected_s: how long it takes, None where nobody knows
    waits_for: the project whose wheel must be there before this can begin, or for want of which it failed
    needs: build requirements that the upstream has no wheel of, as its attempts found; the farm builds them first
    fence: rises with each lease; leased_to, lease_until: set while leased or collecting
    pardoned_fence: attempts up to this fence no longer count against the build (a person asked to try again)
    not_before: the pause before another attempt
    followed_at: when the requirements of its wheel were requested too
    """

    __tablename__ = "builds"
    __table_args__ = (
        UniqueConstraint("project_id", "version", "platform", "build_number"),
        _one_of("state", BuildState),
        _one_of("policy", BuildPolicy),
        CheckConstraint("origin IN ('person', 'list', 'demand', 'scope', 'dependency', 'repeat')", name="origin_known"),
        CheckConstraint("fence >= 0", name="fence_counts"),
        CheckConstraint("(state IN ('leased', 'collecting')) = (leased_to IS NOT NULL)", name="lease_has_node"),
        CheckConstraint("size BETWEEN 0 AND 4", name="size_known"),
        _where("ix_builds_next", "platform", "size", "score", "id", when="state = 'queued'"),
        _where("ix_builds_ripe", "not_before", when="state = 'waiting' AND not_before IS NOT NULL"),
        _where("ix_builds_waits_for", "waits_for", when="waits_for IS NOT NULL"),
        _where("ix_builds_unfollowed", "not_before", when="followed_at IS NULL AND state IN ('published', 'unneeded')"),
        _where("ix_builds_lease_until", "lease_until", when="leased_to IS NOT NULL"),
        _where("ix_builds_leased_to", "leased_to", when="leased_to IS NOT NULL"),
        Index("ix_builds_state", "state", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    version: Mapped[Name]
    platform: Mapped[Name]
    build_number: Mapped[int] = mapped_column(default=0)
    sdist_id: Mapped[int | None] = mapped_column(ForeignKey("upstream_files.id"))
    policy: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[LongText] = mapped_column(default="")
    origin: Mapped[str] = mapped_column(String(16), default="scope", server_default="scope")
    score: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    boost: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    size: Mapped[int] = mapped_column(SmallInteger, default=1, server_default="1")
    expected_s: Mapped[float | None] = mapped_column(Double)
    waits_for: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    needs: Mapped[Data] = mapped_column(default=list, server_default="[]")
    fence: Mapped[int] = mapped_column(default=0)
    pardoned_fence: Mapped[int] = mapped_column(default=0)
    leased_to: Mapped[Name | None]
    leased_at: Mapped[Moment | None]
    lease_until: Mapped[Moment | None]
    not_before: Mapped[Moment | None]
    created_at: Mapped[Moment]
    changed_at: Mapped[Moment]
    followed_at: Mapped[Moment | None]

    project: Mapped[Project] = relationship(back_populates="builds", foreign_keys=[project_id])
    sdist: Mapped[UpstreamFile | None] = relationship()
    attempts: Mapped[list[Attempt]] = relationship(back_populates="build", order_by="Attempt.fence")
    wheels: Mapped[list[Wheel]] = relationship(back_populates="build")

    @property
    def is_repeat(self) -> bool:
        """Whether it only repeats another build, and is never published."""
        return repeats.is_repeat(self.build_number)

    @property
    def wheel_number(self) -> int:
        """The build number that its wheel carries, 0 for none."""
        return repeats.wheel_number(self.build_number)


class Attempt(Base):
    """One grant of a build to a node, and what came of it.

    steps: list of ``schema.jobs.Step`` as JSON; materials, environment, resources: as in ``BuildResult``
    log_bytes: how much of the log the master holds
    rules: the ids of the rules that its recipe was made of
    line: the number of the evidence's line in the log, from 1; tries: list of ``schema.remedies.Try`` as JSON
    """

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("build_id", "fence"), _one_of("outcome", AttemptOutcome))

    id: Mapped[int] = mapped_column(primary_key=True)
    build_id: Mapped[int] = mapped_column(ForeignKey("builds.id"))
    fence: Mapped[int]
    node: Mapped[Name]
    outcome: Mapped[str] = mapped_column(String(16))
    failure_class: Mapped[str | None] = mapped_column(String(32))
    message: Mapped[LongText] = mapped_column(default="")
    evidence: Mapped[LongText] = mapped_column(default="")
    started_at: Mapped[Moment]
    finished_at: Mapped[Moment | None]
    steps: Mapped[Data] = mapped_column(default=list)
    materials: Mapped[Data] = mapped_column(default=list)
    environment: Mapped[Data] = mapped_column(default=dict)
    resources: Mapped[Data] = mapped_column(default=dict)
    log_bytes: Mapped[int] = mapped_column(default=0)
    rules: Mapped[Data] = mapped_column(default=list, server_default="[]")
    line: Mapped[int | None]
    tries: Mapped[Data] = mapped_column(default=list, server_default="[]")

    build: Mapped[Build] = relationship(back_populates="attempts")


class RuleCount(Base):
    """What came of a rule of people's recipes (``master.rule_counts``).

    id: farm-wide, ``NAME/ID``; it stays when the rule goes
    uses: attempts with it that ended; successes: those that gave a wheel; used_at: when the last one ended
    """

    __tablename__ = "rule_counts"
    __table_args__ = (CheckConstraint("successes BETWEEN 0 AND uses", name="successes_are_uses"),)

    id: Mapped[Name] = mapped_column(primary_key=True)
    uses: Mapped[int] = mapped_column(default=0)
    successes: Mapped[int] = mapped_column(default=0)
    used_at: Mapped[Moment | None]


class WhatWorked(Base):
    """The remedies with which a project was last built on a platform (``master.what_worked``); none: there is no row.

    version: of that build; remedies: list of ``schema.remedies.Remedy`` as JSON
    """

    __tablename__ = "what_worked"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    platform: Mapped[Name] = mapped_column(primary_key=True)
    version: Mapped[Name]
    remedies: Mapped[Data]
    built_at: Mapped[Moment]


class BuildMaterial(Base):
    """A build requirement that went into a build that gave a wheel.

    name: normalised; version: of the wheel that was used
    """

    __tablename__ = "build_materials"
    __table_args__ = (Index(None, "name", "build_id"),)

    build_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), primary_key=True)
    name: Mapped[Name] = mapped_column(primary_key=True)
    version: Mapped[Name]


class Wheel(Base):
    """A published file; its row exists only after its bytes do, and its name never means other bytes.

    tags: the expanded tags, joined by spaces
    view: ``debian12-x86_64`` for a ``linux_*`` wheel, None for a portable one
    yanked: None, or the reason; removed_at: a tombstone: the name stays taken
    repeated: whether another build of the same sdist gave the same bytes; None where it was not tried
    runtime_packages: Debian packages that it needs where it is used, for libraries that it does not have
    portability: how it fared in other images, as ``Verdict`` has it
    """

    __tablename__ = "wheels"
    __table_args__ = (
        CheckConstraint("size_bytes > 0", name="has_bytes"),
        Index(None, "project_id", "version"),
        # The store's files are looked up by digest, whichever of a wheel's three they are.
        Index(None, "sha256"),
        Index(None, "metadata_sha256"),
        Index(None, "provenance_sha256"),
    )

    filename: Mapped[Name] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    build_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), index=True)
    version: Mapped[Name]
    tags: Mapped[LongText]
    view: Mapped[Name | None]
    sha256: Mapped[Digest]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    metadata_sha256: Mapped[Digest]
    provenance_sha256: Mapped[Digest]
    requires_python: Mapped[LongText | None]
    published_at: Mapped[Moment]
    yanked: Mapped[LongText | None]
    removed_at: Mapped[Moment | None]
    removed_because: Mapped[LongText] = mapped_column(default="")
    repeated: Mapped[bool | None]
    repeated_note: Mapped[LongText] = mapped_column(default="")
    runtime_packages: Mapped[Data] = mapped_column(default=list, server_default="[]")
    portability: Mapped[Data] = mapped_column(default=list, server_default="[]")

    project: Mapped[Project] = relationship(back_populates="wheels")
    build: Mapped[Build] = relationship(back_populates="wheels")


class WheelAnatomy(Base):
    """What is in a wheel, for its page; a wheel that was not examined has no row.

    format: the shape of *found*, which is that of ``schema.wheels.anatomy.Anatomy.to_json``
    """

    __tablename__ = "anatomies"

    filename: Mapped[Name] = mapped_column(ForeignKey("wheels.filename"), primary_key=True)
    format: Mapped[int] = mapped_column(SmallInteger)
    found: Mapped[Data]


class Repeat(Base):
    """A published build that is built once more, and what came of it (``master.repeats``).

    again_id: the build that repeats it; not_on: the node that built it first, which leaves it to others *not_on_until*
    verdict, detail, node, told_at: of the last time; None and "" before the first
    """

    __tablename__ = "repeats"
    __table_args__ = (_one_of("verdict", Repeated), Index(None, "verdict"))

    build_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), primary_key=True)
    again_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), unique=True)
    not_on: Mapped[Name | None]
    not_on_until: Mapped[Moment | None]
    verdict: Mapped[str | None] = mapped_column(String(16))
    detail: Mapped[LongText] = mapped_column(default="")
    node: Mapped[Name | None]
    told_at: Mapped[Moment | None]


class Node(Base):
    """A builder node that was enrolled.

    certificate: PEM, signed by the farm's authority; outbox: where the master collects from
    allowed_platforms: those the certificate names; platforms: those of them that the node offers now
    heard_at: the last heartbeat, by the database's clock
    cores, memory_bytes, disk_free_bytes: of the machine, as it says itself; 0 where it does not say
    state: ``active``, ``draining`` (no new builds) or ``quarantined`` (it lied)
    """

    __tablename__ = "nodes"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'draining', 'quarantined')", name="state_known"),
        CheckConstraint("slots >= 0", name="slots_count"),
    )

    name: Mapped[Name] = mapped_column(primary_key=True)
    certificate: Mapped[LongText]
    outbox: Mapped[LongText]
    allowed_platforms: Mapped[Data] = mapped_column(default=list)
    platforms: Mapped[Data] = mapped_column(default=list)
    slots: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(16), default="active")
    state_reason: Mapped[LongText] = mapped_column(default="")
    version: Mapped[Name] = mapped_column(default="")
    facts: Mapped[Data] = mapped_column(default=dict)
    cores: Mapped[int] = mapped_column(default=0, server_default="0")
    memory_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    disk_free_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    enrolled_at: Mapped[Moment]
    heard_at: Mapped[Moment | None]


class DirtyPage(Base):
    """A project whose index pages must be rendered again; written with the change, removed after the rendering."""

    __tablename__ = "dirty_pages"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(default=1)


class BuildCount(Base):
    """How many builds are in a state on a platform: kept by ``master.builds``, so that nobody ever counts millions."""

    __tablename__ = "build_counts"

    platform: Mapped[Name] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16), primary_key=True)
    builds: Mapped[int] = mapped_column(BigInteger, default=0)


class Demand(Base):
    """A project that clients asked the index for and did not find; the front-end adds, the master takes away.

    name: normalised; view: the index that was asked, such as ``debian12-x86_64``, "" for ``/simple/``
    """

    __tablename__ = "demands"

    name: Mapped[Name] = mapped_column(primary_key=True)
    view: Mapped[Name] = mapped_column(primary_key=True, default="")
    asks: Mapped[int] = mapped_column(BigInteger, default=1)
    asked_at: Mapped[Moment]


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
    __table_args__ = (_where("ix_alarms_open", "name", when="ended_at IS NULL"),)

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
