"""The farm takes no work in before its disk is full, and goes on by itself (R8)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from master.keep import room
from master.keep.room import Room
from schema.db.session import transaction
from schema.errors import FarmError
from schema.sections import DatabaseSection, FarmSection
from schema.settings import Settings

MIB = 2**20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def _note(database: Engine) -> str:
    with transaction(database) as session:
        return room.note_of(session)


def test_intake_stops_below_the_limit_and_begins_again_well_above_it(database: Engine, small: Path) -> None:
    guard = Room(database, [small], free_bytes=2 * MIB)
    guard.look()
    assert (guard.is_enough, _note(database)) == (True, "")

    (small / "filler").write_bytes(b"x" * int(2.5 * MIB))
    guard.look()
    assert not guard.is_enough
    assert _note(database) == (
        f"only 1.5 MiB are free in {small}, so no build is given out: free some space"
        " (wheelfarm gc shows what can go); it goes on by itself at 3.0 MiB"
    )

    (small / "filler").write_bytes(b"x" * int(1.5 * MIB))  # 2.5 MiB free: more than the limit, but not enough
    guard.look()
    assert not guard.is_enough

    (small / "filler").unlink()
    guard.look()
    assert (guard.is_enough, _note(database)) == (True, "")


def test_a_restart_between_the_two_limits_does_not_open_the_intake(database: Engine, small: Path) -> None:
    (small / "filler").write_bytes(b"x" * int(2.5 * MIB))
    Room(database, [small], free_bytes=2 * MIB).look()
    (small / "filler").write_bytes(b"x" * int(1.5 * MIB))

    again = Room(database, [small], free_bytes=2 * MIB)
    again.look()

    assert not again.is_enough


def test_the_fullest_of_several_file_systems_decides(database: Engine, small: Path, tmp_path: Path) -> None:
    guard = Room(database, [tmp_path, small / "not" / "made" / "yet"], free_bytes=8 * MIB)

    guard.look()

    assert str(small) in _note(database)


def test_a_farm_s_own_file_systems_are_looked_at_once_each(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere/farm.sqlite"
    settings = Settings(farm=FarmSection(home=tmp_path / "home"), database=DatabaseSection(url=url))

    assert tmp_path / "elsewhere" in room.folders(settings)
    assert len(room.file_systems(room.folders(settings))) == 1


def test_a_database_on_a_server_has_no_folder_here(tmp_path: Path) -> None:
    settings = Settings(farm=FarmSection(home=tmp_path), database=DatabaseSection(url="postgresql://h/farm"))

    assert all(folder.is_relative_to(tmp_path) for folder in room.folders(settings))


def test_a_file_system_that_does_not_answer_is_an_error_with_a_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(_path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fails)

    with pytest.raises(FarmError, match=f"free space of {tmp_path} cannot be told: Input/output error"):
        room.file_systems([tmp_path])
