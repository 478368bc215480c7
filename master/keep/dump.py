"""A consistent copy of the database while others write to it, and back: SQLite's own, or PostgreSQL's programs."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Engine, inspect, make_url, text
from sqlalchemy.orm import Session

from master.keep.manifest import BackupError
from schema.errors import ToolMissingError
from schema.printable import one_line

_NAMES = {"sqlite": "farm.sqlite", "postgresql": "farm.pgdump"}
_LIMIT_S = 6 * 3600


def file_name(kind: str) -> str:
    """What the copy of a database of that *kind* is called."""
    return _NAMES[kind]


def kind_of(database_url: str) -> str:
    """``sqlite`` or ``postgresql``."""
    return make_url(database_url).get_backend_name()


def dump(database: Engine, target: Path) -> None:
    """Copy the database to *target*, as it is at one moment; nobody waits for it. Raise BackupError."""
    if database.dialect.name == "sqlite":
        _copy_sqlite(Path(str(database.url.database)), target)
    else:
        _check_version("pg_dump", database)
        arguments = ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}"]
        _run("pg_dump", [*_at(database.url), *arguments], database.url)


def load(source: Path, database_url: str) -> None:
    """Put the copy *source* in the place of the database; all of it or nothing. Raise BackupError."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        target = Path(str(url.database))
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("-wal", "-shm"):  # of another database, which is not the one that comes
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        temporary = target.with_name(f".{target.name}.restoring")
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    else:
        arguments = ["--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", str(source)]
        _run("pg_restore", [*_at(url), *arguments], url)


def is_empty(session: Session) -> bool:
    """Whether there is nothing in the database that a restore would replace."""
    return not inspect(session.connection()).has_table("builds")


def _copy_sqlite(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)  # in one step: a reader of WAL holds up no writer, and sees one state
            writing.execute("PRAGMA journal_mode = DELETE")  # one file that needs no other beside it
            (verdict,) = writing.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as err:
        raise BackupError(f"the database {source} cannot be copied: {err}") from err
    if verdict != "ok":
        raise BackupError(f"the database {source} is damaged: {one_line(verdict)}")


def _check_version(program: str, database: Engine) -> None:
    """pg_dump refuses a newer server, but says so in its own way."""
    with database.connect() as connection:
        server = int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10000
    said = _run(program, ["--version"], database.url)
    match = re.search(r"(\d+)(?:\.\d+|devel|beta|rc)", said)
    if match is None or int(match[1]) < server:
        raise BackupError(
            f"{program} is too old: {one_line(said)}; the server is PostgreSQL {server}",
            advice=f"install the Debian package postgresql-client-{server} or newer",
        )


def _run(program: str, arguments: Sequence[str], url: URL) -> str:
    """Run it, with the password in its environment, where other users of the machine do not see it."""
    found = shutil.which(program)
    if found is None:
        raise ToolMissingError(f"{program} is not installed", advice="apt-get install postgresql-client")
    try:
        result = subprocess.run(
            [found, *arguments],
            env={**os.environ, **_secret(url)},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise BackupError(f"{program} could not do its work: {type(err).__name__}") from err
    if result.returncode:
        raise BackupError(f"{program}: {one_line(result.stderr) or f'exit code {result.returncode}'}")
    return result.stdout


def _at(url: URL) -> list[str]:
    """Which database, as libpq reads it."""
    shown = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return ["--no-password", f"--dbname={shown.render_as_string(hide_password=False)}"]


def _secret(url: URL) -> Mapping[str, str]:
    return {"PGPASSWORD": str(url.password)} if url.password else {}
