"""What the upstream has, and who wants what of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from schema.db.models.base import Base, Digest, LongText, Moment, Name, one_of, where
from schema.states import BuildPolicy

if TYPE_CHECKING:
    from schema.db.models.builds import Build
    from schema.db.models.wheels import Wheel


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
        where("ix_projects_undecided", "id", when="undecided AND checked_at IS NOT NULL"),
        where("ix_projects_downloads", "downloads", when="downloads > 0"),
        where("ix_projects_failing", "id", when="errors > 0"),
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
        one_of("policy", BuildPolicy),
        one_of("dependencies", BuildPolicy),
        CheckConstraint("origin IN ('person', 'list', 'demand', 'scope', 'dependency')", name="origin_known"),
        where("ix_requests_listed", "because", when="origin = 'list'"),
        where("ix_requests_demanded", "id", when="origin = 'demand'"),
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


class Demand(Base):
    """A project that clients asked the index for and did not find; the front-end adds, the master takes away.

    name: normalised; view: the index that was asked, such as ``debian12-x86_64``, "" for ``/simple/``
    """

    __tablename__ = "demands"

    name: Mapped[Name] = mapped_column(primary_key=True)
    view: Mapped[Name] = mapped_column(primary_key=True, default="")
    asks: Mapped[int] = mapped_column(BigInteger, default=1)
    asked_at: Mapped[Moment]
