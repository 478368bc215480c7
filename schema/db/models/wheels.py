"""What the farm has published, what is in it, and what building it twice has shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from schema.db.models.base import Base, Data, Digest, LongText, Moment, Name, one_of, where
from schema.repeats import Repeated

if TYPE_CHECKING:
    from schema.db.models.builds import Build
    from schema.db.models.upstream import Project


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
        where("ix_wheels_newest", "published_at", "filename", when="removed_at IS NULL"),
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
    __table_args__ = (one_of("verdict", Repeated), Index(None, "verdict"))

    build_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), primary_key=True)
    again_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), unique=True)
    not_on: Mapped[Name | None]
    not_on_until: Mapped[Moment | None]
    verdict: Mapped[str | None] = mapped_column(String(16))
    detail: Mapped[LongText] = mapped_column(default="")
    node: Mapped[Name | None]
    told_at: Mapped[Moment | None]


class Canary(Base):
    """A published build that a node on probation builds once more, and what came of it (``master.canaries``).

    again_id: the build that repeats *build_id*; verdict, detail, told_at: None and "" until it has ended
    """

    __tablename__ = "canaries"
    __table_args__ = (
        one_of("verdict", Repeated),
        Index(None, "node", "sent_at"),
        Index(None, "build_id"),
        where("ix_canaries_open", "node", when="verdict IS NULL"),
    )

    again_id: Mapped[int] = mapped_column(ForeignKey("builds.id"), primary_key=True)
    build_id: Mapped[int] = mapped_column(ForeignKey("builds.id"))
    node: Mapped[Name]
    sent_at: Mapped[Moment]
    verdict: Mapped[str | None] = mapped_column(String(16))
    detail: Mapped[LongText] = mapped_column(default="")
    told_at: Mapped[Moment | None]


class DirtyPage(Base):
    """A project whose index pages must be rendered again; written with the change, removed after the rendering."""

    __tablename__ = "dirty_pages"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(default=1)
