"""Databases to measure on: SQLite as a farm has it, and a PostgreSQL server of this run with its own defaults."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from schema.db import migrate
from schema.db.session import engine

KINDS = ("sqlite", "postgresql")


@contextmanager
def database(kind: str) -> Iterator[Engine]:
    """An empty, migrated database that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="wf-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _url(kind, folder) as url:
            made = engine(url)
            migrate.upgrade(made)
            try:
                yield made
            finally:
                made.dispose()


@contextmanager
def _url(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'farm.sqlite'}"
        return
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    as_user: list[str] = []
    data = folder / "pg"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        shutil.chown(data, "postgres", "postgres")
    subprocess.run(
        [*as_user, programs / "initdb", "-D", data, "-U", "farm", "-A", "trust", "-E", "UTF8"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    options = ["-c", "listen_addresses=", "-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB"]
    server = subprocess.Popen(
        [*as_user, programs / "postgres", "-D", data, "-k", data, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        url = f"postgresql+psycopg://farm@/postgres?host={data}"
        _wait(url)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def _wait(url: str) -> None:
    probe = create_engine(url)
    for _ in range(300):
        try:
            with probe.connect() as connection:
                connection.execute(text("SELECT 1"))
            probe.dispose()
        except OperationalError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("PostgreSQL did not start within 30 s")
