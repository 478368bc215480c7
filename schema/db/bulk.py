"""Many new rows at once, the quickest way that each database has: COPY on PostgreSQL, a prepared INSERT on SQLite.

And what follows from many: ``analyze``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Column, Connection, Table, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from schema.db.models import Base

_Row = Sequence[object]


def insert(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[_Row]) -> None:
    """Insert *rows* into *table*, each with one (hashable) value for each of the columns *names*.

    Columns that are not named get what the database gives them, not what the model does. Raise DBAPIError (its
    IntegrityError for a row that is there already): then none of them is in, and the transaction is lost.
    """
    plain = list(_plain(rows, [_processor(table.c[name], connection) for name in names]))
    if not plain:
        return
    columns = f"{table.name} ({', '.join(names)})"
    if connection.dialect.name == "sqlite":
        places = ", ".join("?" * len(names))
        connection.exec_driver_sql(f"INSERT INTO {columns} VALUES ({places})", plain)  # noqa: S608 - names of ours
    else:
        _copy(connection, f"COPY {columns} FROM STDIN", plain)


def analyze(session: Session, *tables: type[Base]) -> None:
    """Have PostgreSQL look at *tables* anew, which have grown a lot; SQLite does without.

    A plan is made once for a connection and kept: one that was made while a table was empty reads the whole of it for
    each row, until the server's own look a minute later (autovacuum_naptime).
    """
    if session.get_bind().dialect.name == "postgresql":
        for table in tables:
            session.execute(text(f"ANALYZE {table.__tablename__}"))


def _processor(column: Column[Any], connection: Connection) -> Callable[[Any], Any] | None:
    """What the column's type does with a value on its way to the driver; None: nothing."""
    process = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return None if process is None else lru_cache(maxsize=1024)(process)  # most values come again and again


def _plain(rows: Iterable[_Row], processors: Sequence[Callable[[Any], Any] | None]) -> Iterator[tuple[object, ...]]:
    busy = [(place, process) for place, process in enumerate(processors) if process is not None]
    for row in rows:
        values = list(row)
        for place, process in busy:
            values[place] = process(values[place])
        yield tuple(values)


def _copy(connection: Connection, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
    cursor: DBAPICursor = connection.connection.cursor()
    try:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as err:  # SQLAlchemy does not see what its driver says here
        raise DBAPIError.instance(statement, None, err, psycopg.Error, dialect=connection.dialect) from err
    finally:
        cursor.close()
