"""Builds, what came of each attempt, and what was learned from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Index, SmallInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from schema import repeats
from schema.db.models.base import Base, Data, LongText, Moment, Name, one_of, where
from schema.states import AttemptOutcome, BuildPolicy, BuildState

if TYPE_CHECKING:
    from schema.db.models.upstream import Project, UpstreamFile
    from schema.db.models.wheels import Wheel


class Build(Base):
    """One release on one platform, from being wanted to being published.

    build_number: of its wheel, or below 0 for one that repeats another (``schema.repeats``)
    sdist_id: None where the release has none (then it is unneeded or failed)
    reason: one sentence that says why the build is in this state
    origin: the strongest of those who asked, as in ``Request``
    score: higher is built sooner (``schema.score``); boost: an operator's part of it
    behind, native: what its score was last reckoned with: newer releases that are wanted on its platform, and whether
        a wheel of the project is compiled (None where none is known)
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
        one_of("state", BuildState),
        one_of("policy", BuildPolicy),
        CheckConstraint("origin IN ('person', 'list', 'demand', 'scope', 'dependency', 'repeat')", name="origin_known"),
        CheckConstraint("fence >= 0", name="fence_counts"),
        CheckConstraint("(state IN ('leased', 'collecting')) = (leased_to IS NOT NULL)", name="lease_has_node"),
        CheckConstraint("size BETWEEN 0 AND 4", name="size_known"),
        where("ix_builds_next", "platform", "size", "score", "id", when="state = 'queued'"),
        where("ix_builds_ripe", "not_before", when="state = 'waiting' AND not_before IS NOT NULL"),
        where("ix_builds_waits_for", "waits_for", when="waits_for IS NOT NULL"),
        where("ix_builds_unfollowed", "not_before", when="followed_at IS NULL AND state IN ('published', 'unneeded')"),
        where("ix_builds_lease_until", "lease_until", when="leased_to IS NOT NULL"),
        where("ix_builds_leased_to", "leased_to", when="leased_to IS NOT NULL"),
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
    behind: Mapped[int] = mapped_column(default=0, server_default="0")
    native: Mapped[bool | None]
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
    usage: what it used as time went: list of ``schema.jobs.Usage`` as JSON
    """

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("build_id", "fence"), one_of("outcome", AttemptOutcome))

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
    usage: Mapped[Data] = mapped_column(default=list, server_default="[]")

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


class BuildCount(Base):
    """How many builds are in a state on a platform: kept by ``master.builds``, so that nobody ever counts millions."""

    __tablename__ = "build_counts"

    platform: Mapped[Name] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16), primary_key=True)
    builds: Mapped[int] = mapped_column(BigInteger, default=0)
