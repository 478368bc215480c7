"""What builds fail of, and how many attempts end how: kept as they happen, so that no page counts millions."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from schema.db.models.base import Base, Data, Moment, Name


class FailureCluster(Base):
    """The builds that failed of one cause (``schema.failure_causes.Cause``); one that holds none any more is removed.

    builds, projects: that are in it; downloads: of these projects, of the imported ranking
    platforms: platform → its builds
    """

    __tablename__ = "failure_clusters"
    __table_args__ = (
        UniqueConstraint("failure_class", "kind", "subject"),
        CheckConstraint("builds >= 0 AND projects >= 0", name="counts"),
        Index("ix_failure_clusters_rank", "downloads", "builds", "id"),
        Index("ix_failure_clusters_class_rank", "failure_class", "downloads", "builds", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    failure_class: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(32), default="")
    subject: Mapped[Name] = mapped_column(default="")
    builds: Mapped[int] = mapped_column(default=0)
    projects: Mapped[int] = mapped_column(default=0)
    downloads: Mapped[int] = mapped_column(BigInteger, default=0)
    platforms: Mapped[Data] = mapped_column(default=dict)


class Failure(Base):
    """A build that is failed now, and of what."""

    __tablename__ = "failures"
    __table_args__ = (
        Index(None, "cluster_id", "project_id"),
        Index("ix_failures_newest", "cluster_id", "build_id"),
    )

    build_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), primary_key=True)
    cluster_id: Mapped[int] = mapped_column(ForeignKey("failure_clusters.id"))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    platform: Mapped[Name]


class UnsortedFailure(Base):
    """A build that has failed, or has stopped being failed, since ``failures`` was last brought up to date.

    revision: rises with each such change, so that the one who sorts misses none
    """

    __tablename__ = "unsorted_failures"

    build_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(default=1)


class Cure(Base):
    """What last mended a cause, in a build that gave a wheel (``master.cures``).

    actions: as a rule of a recipe has them; builds: so many were mended, by this or by what was known before
    """

    __tablename__ = "cures"

    failure_class: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject: Mapped[Name] = mapped_column(primary_key=True)
    actions: Mapped[Data]
    builds: Mapped[int] = mapped_column(default=1)
    cured_at: Mapped[Moment]


class HourCount(Base):
    """How many attempts ended in an hour on a platform, and how (``schema.db.hours``).

    hour: its beginning; what: ``built``, a class of failures, or ``open``: the builds that were queued or waited last
    """

    __tablename__ = "hour_counts"

    hour: Mapped[Moment] = mapped_column(primary_key=True)
    platform: Mapped[Name] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(String(32), primary_key=True)
    builds: Mapped[int] = mapped_column(BigInteger, default=0)
