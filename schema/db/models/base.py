"""What every table has in common: its base, the types of its columns, and two kinds of rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import JSON, CheckConstraint, DateTime, Dialect, Index, MetaData, String, Text
from sqlalchemy import text as sql
from sqlalchemy import types as sqltypes
from sqlalchemy.orm import DeclarativeBase, mapped_column


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


def one_of(column: str, values: type) -> CheckConstraint:
    """A rule: the column holds one of an enumeration's values."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(item)) for item in values)})", name=f"{column}_known")  # type: ignore[attr-defined]


def where(name: str, *columns: str, when: str) -> Index:
    """An index over the few rows that a loop asks for, however many others there are."""
    return Index(name, *columns, sqlite_where=sql(when), postgresql_where=sql(when))
