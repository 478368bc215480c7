"""How often the farm's files were downloaded, and by which installers."""

from __future__ import annotations

from datetime import date

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from schema.db.models.base import Base, Name, where


class Download(Base):
    """Downloads of one file on one day (UTC) by one kind of installer; nothing in it points at a person or a machine.

    Old days are folded: the first of the month stands for all of it then, and who asked is "" in each column.

    project: normalised; client to arch: as ``schema.clients.Client`` has them
    """

    __tablename__ = "downloads"
    __table_args__ = (
        CheckConstraint("count > 0", name="is_counted"),
        Index(None, "project", "day"),
        where("ix_downloads_unfolded", "day", when="client <> ''"),
    )

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    filename: Mapped[Name] = mapped_column(primary_key=True)
    client: Mapped[str] = mapped_column(String(32), primary_key=True, default="")
    version: Mapped[str] = mapped_column(String(16), primary_key=True, default="")
    python: Mapped[str] = mapped_column(String(16), primary_key=True, default="")
    distribution: Mapped[str] = mapped_column(String(32), primary_key=True, default="")
    arch: Mapped[str] = mapped_column(String(16), primary_key=True, default="")
    project: Mapped[Name]
    count: Mapped[int] = mapped_column(BigInteger)
