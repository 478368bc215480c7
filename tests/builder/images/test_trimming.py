"""Derived images do not fill the disk: those that no job asks for any more go."""

from __future__ import annotations

import os
import time
from pathlib import Path

from builder.debian import trim


def derived(folder: Path, name: str, *, unused_s: float) -> None:
    root = folder / name / "root" / "usr"
    root.mkdir(parents=True)
    record = folder / name / "image.json"
    record.write_text("{}")
    used_at = time.time() - unused_s
    os.utime(record, (used_at, used_at))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_unused_for_long_goes_but_for_those_asked_for_last(tmp_path: Path) -> None:
    for name, unused_s in {"new": 10, "old": 1000, "older": 2000, "oldest": 3000}.items():
        derived(tmp_path, name, unused_s=unused_s)

    trim(tmp_path, keep=2, unused_s=500)

    assert left(tmp_path) == ["new", "old"]


def test_what_a_job_asked_for_lately_stays_however_many_there_are(tmp_path: Path) -> None:
    for number in range(5):
        derived(tmp_path, f"image-{number}", unused_s=number)

    trim(tmp_path, keep=1, unused_s=500)

    assert len(left(tmp_path)) == 5


def test_what_a_killed_node_left_half_removed_goes_and_what_is_being_made_stays(tmp_path: Path) -> None:
    derived(tmp_path, "new", unused_s=1)
    (tmp_path / "half" / "root").mkdir(parents=True)
    (tmp_path / ".making-x").mkdir()

    trim(tmp_path, keep=1, unused_s=500)

    assert left(tmp_path) == [".making-x", "new"]
