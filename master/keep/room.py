"""The low-disk guard: builds are given out and results taken only while there is room for them (R8)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, make_url
from sqlalchemy.orm import Session

from master import marks
from schema.db.models import Mark
from schema.db.session import transaction
from schema.errors import FarmError
from schema.settings import Settings

log = logging.getLogger(__name__)

INTAKE = "intake"
_AGAIN_AT = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """A file system that the farm writes to, and what is free for it there."""

    folder: Path
    free_bytes: int


class Room:
    """Looks at the file systems of *folders*; ``is_enough`` is what the last look found.

    free_bytes: intake stops below it, and begins again at one and a half times that
    """

    def __init__(self, database: Engine, folders: Iterable[Path], *, free_bytes: int) -> None:
        self._database, self._folders, self._free_bytes = database, tuple(folders), free_bytes
        self.is_enough = True

    def look(self) -> None:
        """Close or open the intake; the sentence why stands in its mark. It holds over a restart, too."""
        with transaction(self._database) as session:
            note = note_of(session)
        least = min(file_systems(self._folders), key=lambda item: item.free_bytes)
        wanted = self._free_bytes * (_AGAIN_AT if note else 1.0)
        self.is_enough = least.free_bytes >= wanted
        sentence = "" if self.is_enough else self._sentence(least)
        if bool(sentence) == bool(note):
            return
        log.warning(
            "%s", sentence or f"{_size(least.free_bytes)} are free in {least.folder}: builds are given out again"
        )
        with transaction(self._database) as session:
            marks.at(session, INTAKE).note = sentence

    def _sentence(self, least: Free) -> str:
        return (
            f"only {_size(least.free_bytes)} are free in {least.folder}, so no build is given out: free some space"
            f" (wheelfarm gc shows what can go); it goes on by itself at {_size(self._free_bytes * _AGAIN_AT)}"
        )


def note_of(session: Session) -> str:
    """Why the farm gives out no builds; "" where it does."""
    mark = session.get(Mark, INTAKE)
    return mark.note if mark else ""


def folders(settings: Settings) -> tuple[Path, ...]:
    """Where the master writes: the farm's home, and the database's folder where it is a file elsewhere."""
    url = make_url(settings.database_url)
    file = url.database if url.get_backend_name() == "sqlite" else None
    found = [settings.farm.home, settings.store, settings.site, settings.logs]
    return (*found, Path(file).parent) if file else tuple(found)


def file_systems(wanted: Iterable[Path]) -> list[Free]:
    """The file systems that *wanted* lie on, each once; a folder that is not made yet counts as its parent."""
    found: dict[int, Free] = {}
    for folder in wanted:
        there = _existing(folder)
        try:
            device, stat = there.stat().st_dev, os.statvfs(there)
        except OSError as err:
            raise FarmError(f"the free space of {there} cannot be told: {err.strerror}") from err
        found.setdefault(device, Free(folder=there, free_bytes=stat.f_bavail * stat.f_frsize))
    return list(found.values())


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(item for item in (folder, *folder.parents) if item.is_dir())


def _size(count: float) -> str:
    """Such as ``1.4 GiB``."""
    units = ("bytes", "KiB", "MiB", "GiB")
    for unit in units:
        if count < 1024 or unit == units[-1]:  # noqa: PLR2004 - the step between two units
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
