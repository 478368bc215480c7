"""What an engine does beside SQL."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import text

from schema.db.session import engine, transaction


def test_a_new_sqlite_file_and_what_lies_beside_it_are_closed_to_others(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        made = engine(f"sqlite:///{tmp_path}/farm/farm.sqlite")
        with transaction(made) as session:
            session.execute(text("CREATE TABLE one (number INTEGER)"))
            files = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "farm").iterdir()}
        made.dispose()
    finally:
        os.umask(before)

    assert files == dict.fromkeys(("farm.sqlite", "farm.sqlite-wal", "farm.sqlite-shm"), 0o640)


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "farm.sqlite"
    file.touch(mode=0o600)

    engine(f"sqlite:///{file}").dispose()

    assert file.stat().st_mode & 0o777 == 0o600
