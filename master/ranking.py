"""How often projects are downloaded, from a file that somebody else made: hostile until each row is checked.

CSV with ``name,downloads`` in each line, or the JSON of the known list of the top packages: an object whose ``rows``
have ``project`` and ``download_count``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from master import failures
from master.batches import batches
from schema import names
from schema.db import scoring
from schema.db.models import Build, Project
from schema.db.session import transaction
from schema.errors import FarmError, UsageError

_AT_ONCE = 200
_MOST_BYTES = 256 * 2**20
_MOST_DOWNLOADS = 10**15
_MOST_NAME = 255
_HEADS = frozenset({("name", "downloads"), ("project", "downloads"), ("project", "download_count")})

Row = tuple[NormalizedName, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of it.

    rows: of the file; unknown: those of projects that the farm does not have
    changed: projects whose number is another one now; builds: open builds with a new score
    """

    rows: int = 0
    unknown: int = 0
    changed: int = 0
    builds: int = 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            rows=self.rows + other.rows,
            unknown=self.unknown + other.unknown,
            changed=self.changed + other.changed,
            builds=self.builds + other.builds,
        )


def read(file: Path) -> Iterator[Row]:
    """The projects of the file with their downloads; raise UsageError that names the first line that is wrong."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{file}: larger than {_MOST_BYTES // 2**20} MiB: no ranking is")
        with file.open(encoding="utf-8", newline="") as opened:
            is_json = opened.read(64).lstrip("\ufeff \t\r\n").startswith(("{", "["))
            opened.seek(0)
            rows = _json_rows(file, opened.read()) if is_json else _csv_rows(file, csv.reader(opened, strict=True))
            yield from (_checked(where, name, downloads) for where, name, downloads in rows)
    except UnicodeDecodeError as err:
        raise UsageError(f"{file}: not UTF-8 from byte {err.start} on") from err
    except OSError as err:
        raise UsageError(f"{file}: cannot be read: {err.strerror}") from err


def take(database: Engine, file: Path, *, tell: Callable[[int, int], None] = lambda *_: None) -> Imported:
    """Keep the downloads of every project that the farm has, and score its open builds anew.

    The whole file is checked before anything is changed. A project that it does not name keeps what it had.
    tell: called with the rows that are done, and their total
    """
    total, done = sum(1 for _ in read(file)), Imported()
    if not total:
        raise UsageError(f"{file}: names no project")
    for batch in batches(read(file), _AT_ONCE):
        with transaction(database) as session:
            done += _take(session, batch)
        tell(done.rows, total)
    with transaction(database) as session:
        failures.weigh(session)
    return done


def _take(session: Session, batch: Sequence[Row]) -> Imported:
    wanted = dict(batch)
    known = session.execute(
        select(Project.id, Project.name, Project.downloads).where(Project.name.in_(wanted)).order_by(Project.id)
    ).all()
    changed = [
        {"id": row.id, "downloads": wanted[NormalizedName(row.name)]}
        for row in known
        if row.downloads != wanted[NormalizedName(row.name)]
    ]
    if changed:
        session.execute(update(Project), changed)
    ids = [item["id"] for item in changed]
    builds = session.scalars(select(Build).where(Build.project_id.in_(ids), Build.state.in_(scoring.SCORED))).all()
    return Imported(
        rows=len(batch),
        unknown=len(wanted) - len(known),
        changed=len(changed),
        builds=scoring.rescore(session, builds),
    )


def _csv_rows(file: Path, lines: Iterator[list[str]]) -> Iterator[tuple[str, str, object]]:
    number = 0
    try:
        for number, cells in enumerate(lines, start=1):
            if number == 1 and tuple(cell.strip("\ufeff ").lower() for cell in cells) in _HEADS:
                continue
            where = f"{file}: line {number}"
            if len(cells) != 2:  # noqa: PLR2004 - name and downloads
                raise UsageError(f"{where}: not of the form name,downloads")
            downloads = cells[1].strip()
            yield where, cells[0].strip("\ufeff "), int(downloads) if _is_number(downloads) else downloads
    except csv.Error as err:
        raise UsageError(f"{file}: line {number + 1}: {err}") from err


def _json_rows(file: Path, text: str) -> Iterator[tuple[str, Any, object]]:
    try:
        data = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as err:
        raise UsageError(f"{file}: line {err.lineno}: not JSON: {err.msg}") from err
    except (ValueError, RecursionError) as err:  # a number of thousands of digits, brackets without end
        raise UsageError(f"{file}: not JSON: {err}") from err
    rows = data.get("rows") if isinstance(data, Mapping) else data
    if not isinstance(rows, list):
        raise UsageError(f"{file}: has no list of rows")
    for number, row in enumerate(rows, start=1):
        where = f"{file}: row {number}"
        if not isinstance(row, Mapping) or not {"project", "download_count"} <= row.keys():
            raise UsageError(f"{where}: has no project and download_count")
        yield where, row["project"], row["download_count"]


def _checked(where: str, name: object, downloads: object) -> Row:
    if isinstance(downloads, bool) or not isinstance(downloads, int) or not 0 <= downloads <= _MOST_DOWNLOADS:
        raise UsageError(f"{where}: {str(downloads)[:80]!r} is no number of downloads")
    if not isinstance(name, str) or len(name) > _MOST_NAME:
        raise UsageError(f"{where}: {str(name)[:80]!r} is no project's name")
    try:
        return names.project_name(name), downloads
    except FarmError as err:
        raise UsageError(f"{where}: {err}") from err


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_DOWNLOADS))
