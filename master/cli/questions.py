"""``wheelfarm status``, ``builds``, ``why``, ``log``: what operators ask."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click
from packaging.utils import NormalizedName

from master import reports
from master.cli.farm import reading
from master.reports import FarmStatus, NodeRow
from schema import names
from schema.db import repeats
from schema.db.health import Walk
from schema.db.models import Node
from schema.db.why.explain import why as explain
from schema.db.why.surroundings import Rules
from schema.door import (
    Door,
    Group,
    answer,
    answer_json,
    as_json,
    columns,
    for_platform,
    pass_door,
    progress,
)
from schema.errors import UsageError
from schema.names import Release, release
from schema.platforms import Platform
from schema.printable import one_line, printable
from schema.settings import Settings
from schema.states import OPEN_STATES, BuildState

_FOLLOW_S = 0.5
_CHUNK_BYTES = 1 << 16


@click.command()
@as_json
@pass_door
def status(door: Door, *, as_json: bool) -> None:
    """How the farm stands: projects, builds, wheels, its upstream, who leads, alarms, nodes."""
    with reading(door.settings) as session:
        found = reports.status(session, silent_s=door.settings.timing.lease_s)
    answer_json(asdict(found)) if as_json else answer(_status_text(found, door.settings))


def _status_text(found: FarmStatus, settings: Settings) -> str:
    builds = ", ".join(f"{count} {state}" for state, count in found.builds.items()) or "none yet"
    trouble = f" ({found.upstream_errors} with upstream errors)" if found.upstream_errors else ""
    undecided = f"; {found.unresolved} requests not yet decided" if found.unresolved else ""
    queued = ", ".join(f"{count:,} for {platform}" for platform, count in found.queued.items())
    last = f", the last at {moment(found.last_published_at)} UTC" if found.last_published_at else ""
    lines = [
        f"index     {settings.public_url}/simple/",
        f"projects  {found.projects}{trouble}",
        f"builds    {builds}{undecided}",
        *([f"queue     {queued}"] if queued else []),
        *(f"abi       {note}" for note in found.abi),
        f"wheels    {found.wheels} ({found.wheel_bytes / 2**20:.1f} MiB){last}",
        *([f"repeats   {repeats.sentence(found.repeats)}"] if found.repeats else []),
        f"upstream  {found.feed.sentence if found.feed else 'was not asked yet'}",
        *(f"walk      {_walk(item)}" for item in found.walks),
        *([f"master    {found.leader.sentence}"] if found.leader else []),
        *(f"alarm     {one_line(item.text)} (since {moment(item.raised_at)} UTC)" for item in found.alarms),
        "",
        node_table(found.nodes),
    ]
    return "\n".join(lines)


def _walk(walk: Walk) -> str:
    return f"{walk.title}: {walk.done:,} of {walk.total:,} ({walk.share} %)"


def node_table(rows: tuple[NodeRow, ...]) -> str:
    """The nodes, one a line."""
    return columns(
        ("NODE", "STATE", "BUSY", "HEARD (UTC)", "PLATFORMS", "HEALTH", "WHY"),
        [
            (
                row.name,
                row.state,
                f"{row.busy}/{row.slots}",
                moment(row.heard_at),
                _platforms(row),
                row.health.words(),
                "; ".join(filter(None, (row.reason, *row.troubles))),
            )
            for row in rows
        ],
    )


def tell_node(found: Node, *, as_json: bool) -> None:
    """What became of a node."""
    if as_json:
        answer_json({"node": found.name, "state": found.state, "reason": found.state_reason})
    else:
        answer(f"node {found.name} is {found.state}")


def _platforms(row: NodeRow) -> str:
    return ", ".join(f"{name} (emulated)" if name in row.emulated else name for name in row.platforms)


@click.command()
@click.option(
    "--state",
    "states",
    type=click.Choice([*(item.value for item in BuildState), "open"]),
    multiple=True,
    help="Only these.",
)
@for_platform
@click.option("--project", type=names.project_name, metavar="NAME", help="Only of this project.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@as_json
@pass_door
def builds(
    door: Door,
    *,
    states: tuple[str, ...],
    platform: Platform | None,
    project: NormalizedName | None,
    limit: int,
    as_json: bool,
) -> None:
    """The builds, the latest change first."""
    wanted = {state for name in states for state in (OPEN_STATES if name == "open" else {BuildState(name)})}
    with reading(door.settings) as session:
        rows = reports.builds(session, states=sorted(wanted), platform=platform, project=project, limit=limit)
    if as_json:
        answer_json([asdict(row) for row in rows])
        return
    answer(
        columns(
            ("BUILD", "PROJECT", "VERSION", "PLATFORM", "STATE", "CHANGED (UTC)", "WHY"),
            [
                (row.id, row.project, row.version, row.platform, row.state, moment(row.changed_at), row.reason)
                for row in rows
            ],
        )
    )


@click.command()
@click.argument("wanted", type=release, metavar="NAME[==VERSION]")
@for_platform
@as_json
@pass_door
def why(door: Door, *, wanted: Release, platform: Platform | None, as_json: bool) -> None:
    """Why the wheels of NAME are, or are not, there, and who must act."""
    settings = door.settings
    name, version = wanted
    with reading(settings) as session:
        answers = explain(
            session,
            name,
            rules=Rules.of(settings),
            version=version,
            platform=platform,
            platforms=settings.farm.platforms,
        )
    if as_json:
        answer_json([item.to_json() for item in answers])
        return
    for item in answers:
        where = " ".join(part for part in (item.version, item.platform) if part)
        answer(f"{f'{where}: ' if where else ''}{item.sentence}")


@click.command()
@click.argument("build", type=click.IntRange(min=1))
@click.option("--follow", is_flag=True, help="Go on until the build ends.")
@as_json
@pass_door
def log(door: Door, *, build: int, follow: bool, as_json: bool) -> None:
    """The log of the newest attempt at BUILD.

    Control characters are made visible, so that nothing in it moves your terminal.
    """
    settings = door.settings
    if follow and as_json:
        raise UsageError("--follow and --json exclude each other")
    fence, _ = _attempt(settings, build)
    if not fence:
        raise UsageError(f"build {build} has no log yet: no node has begun it", advice="wheelfarm why NAME says more")
    file = _log_file(settings, build, fence)
    if as_json:
        answer_json({"build": build, "attempt": fence, "log": "".join(_pieces(file))})
    elif follow:
        _follow(settings, build)
    else:
        for piece in _pieces(file):
            _show(piece)


def _follow(settings: Settings, build: int) -> None:
    fence, offset = 0, 0
    while True:
        newest, running = _attempt(settings, build)
        if newest != fence:
            fence, offset = newest, 0
            progress(f"--- attempt {fence} at build {build}")
        for piece in _pieces(_log_file(settings, build, fence), offset, whole_lines=running):
            _show(piece)
            offset += len(piece.encode("utf-8", "surrogateescape"))
        if not running:
            return
        time.sleep(_FOLLOW_S)


def _attempt(settings: Settings, build: int) -> tuple[int, bool]:
    """The newest attempt's fence (0 for none), and whether another piece of log may still come."""
    with reading(settings) as session:
        row = reports.build(session, build)
    return row.attempts, BuildState(row.state) in OPEN_STATES


def _log_file(settings: Settings, build: int, fence: int) -> Path:
    return settings.logs / str(build) / f"{fence}.log"


def _pieces(file: Path, offset: int = 0, *, whole_lines: bool = False) -> Iterator[str]:
    """What the file holds from byte *offset* on; bytes that are no UTF-8 survive as surrogates.

    whole_lines: leave out a last line that is still being written
    """
    try:
        with file.open("rb") as opened:
            opened.seek(offset)
            # A piece ends with a line, so that no character is torn apart.
            while piece := opened.read(_CHUNK_BYTES) + opened.readline(_CHUNK_BYTES):
                if whole_lines:
                    piece = piece[: piece.rfind(b"\n") + 1]
                yield piece.decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return


def _show(piece: str) -> None:
    if piece:
        answer(printable(piece.replace("\r\n", "\n")).removesuffix("\n"))


def moment(value: datetime | None) -> str:
    """A time in UTC to the second; ``-`` for none."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "-"


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (status, builds, why, log):
        group.add_command(command)
