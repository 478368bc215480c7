"""A PostgreSQL server that a test may stop and start."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.chaos.program import Program

_START_S = 60.0


def server(folder: Path, log: Path) -> tuple[Program, str]:
    """A new cluster in *folder*; the program that serves it on a Unix socket there, and its URL."""
    programs = _programs()
    folder.mkdir(mode=0o700)
    as_user: list[str | Path] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        shutil.chown(folder, "postgres", "postgres")
    subprocess.run(
        [*as_user, programs / "initdb", "-D", folder, "-U", "farm", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    # No process of this harness loses power, so nothing is lost without fsync.
    options: list[str | Path] = ["-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    program = Program(name="postgresql", argv=[*as_user, programs / "postgres", "-D", folder, *options], log=log)
    return program, f"postgresql+psycopg://farm@/postgres?host={folder}"


def await_start(folder: Path) -> None:
    """Return once the cluster in *folder* answers; its socket is there before that."""
    deadline = time.monotonic() + _START_S
    asked: list[str | Path] = [_programs() / "pg_isready", "-q", "-h", folder, "-U", "farm"]
    while subprocess.run(asked, check=False).returncode:
        assert time.monotonic() < deadline, "PostgreSQL does not start"
        time.sleep(0.1)


def _programs() -> Path:
    return max(Path("/usr/lib/postgresql").glob("*/bin"))
