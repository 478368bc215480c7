"""``wheelfarm downloads`` and ``import-downloads``: how often the farm's wheels are fetched, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from master import download_log
from master.cli.farm import database, reading
from schema import names
from schema.db import downloads as counted
from schema.db.session import now
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door

_MOST = 50
_SHOWN = 8


@click.command()
@click.argument("project", required=False, type=names.project_name)
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="Of so many days.")
@as_json
@pass_door
def downloads(door: Door, *, project: str | None, days: int, as_json: bool) -> None:
    """How often PROJECT's wheels were downloaded, and by which installers; without PROJECT, which were most."""
    with reading(door.settings) as session:
        until = now(session).date()
        since = until - timedelta(days=days - 1)
        if project is None:
            found = counted.most(session, since=since, limit=_MOST)
            answer_json(found) if as_json else answer(columns(("PROJECT", "DOWNLOADS"), found.items()))
            return
        by_day = counted.days(session, project, since=since, until=until)
        totals = counted.totals(session, project, since=since)
    if as_json:
        answer_json({**asdict(totals), "days": {str(day): count for day, count in by_day.items()}})
        return
    answer(f"{project}: {totals.count} downloads in {days} days")
    kinds = {
        "FILE": totals.files,
        "INSTALLER": totals.clients,
        "PYTHON": totals.pythons,
        "DISTRIBUTION": totals.distributions,
        "ARCHITECTURE": totals.architectures,
    }
    for kind, counts in kinds.items():
        if counts:
            answer("\n" + columns((kind, "DOWNLOADS"), _shown(counts).items()))


def _shown(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent, and what the others come to."""
    first = dict(list(counts.items())[:_SHOWN])
    others = sum(counts.values()) - sum(first.values())
    return {
        **{name or "not told": count for name, count in first.items()},
        **({"all others": others} if others else {}),
    }


@click.command("import-downloads")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
@pass_door
def import_downloads(door: Door, *, files: tuple[Path, ...], as_json: bool) -> None:
    """Count the downloads in access logs (combined format) of a server before the front-end.

    Before a FILE the FILE.1 that was rotated last is read, if there is one. Each line counts once, however often its
    log is read, renamed or packed with gzip meanwhile.
    """
    rotated = [file.with_name(f"{file.name}.1") for file in files]
    logs = [log for pair in zip(rotated, files, strict=True) for log in pair if log in files or log.is_file()]
    with database(door.settings) as opened:
        found = {str(log): download_log.take(opened, log) for log in logs}
    if as_json:
        answer_json({file: asdict(taken) for file, taken in found.items()})
        return
    for file, taken in found.items():
        answer(f"{file}: {taken.lines} new lines, {taken.downloads} downloads")


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (downloads, import_downloads):
        group.add_command(command)
