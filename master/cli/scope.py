"""``wheelfarm scope`` and ``demand``: what the farm wants by itself, and what clients ask it for."""

from __future__ import annotations

from dataclasses import asdict

import click

from master import scope as scopes
from master import wishes
from master.cli.farm import reading
from master.cli.questions import moment
from master.demand import still_open
from schema.db.models import Mark
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door


@click.command()
@as_json
@pass_door
def scope(door: Door, *, as_json: bool) -> None:
    """What is wanted without anybody asking, and how many projects that is."""
    watch = door.settings.watch
    with reading(door.settings) as session:
        walk, counted, files = (session.get(Mark, name) for name in (scopes.WALK, scopes.COUNT, wishes.MARK))
        lists = wishes.counts(session)
    settled = walk is not None and walk.etag == scopes.fingerprint(door.settings) and walk.finished_at is not None
    found = {
        "scope": scopes.described(watch),
        "projects": counted.done if counted else 0,
        "settled": settled,
        "compared": walk.done if walk else 0,
        "of": walk.total if walk else 0,
        "lists": lists,
        "files_read_at": files.finished_at if files else None,
        "trouble": files.note if files else "",
        "demand": watch.demand,
    }
    if as_json:
        answer_json(found)
        return
    progress = "" if settled else f"; the settings changed: {found['compared']} of {found['of']} projects compared"
    lines = [
        f"scope     {found['scope']}",
        f"projects  {found['projects']} by the scope{progress}",
        *(f"list      {name}: {count} requests" for name, count in lists.items()),
        *([f"trouble   {found['trouble']}"] if found["trouble"] else []),
        f"demand    {'what clients ask for is wanted' if watch.demand else 'off (watch.demand)'}",
    ]
    answer("\n".join(lines))


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many of a kind.")
@as_json
@pass_door
def demand(door: Door, *, limit: int, as_json: bool) -> None:
    """What clients asked the index for that is not there yet.

    A client asks when an installer gets no page of a project; watch.demand must be on.
    """
    with reading(door.settings) as session:
        found = still_open(session, limit=limit)
    if as_json:
        answer_json([asdict(item) for item in found])
        return
    answer(
        columns(
            ("PROJECT", "VIEW", "ASKS", "ASKED (UTC)", "STATE"),
            [
                (
                    item.name,
                    item.view or "all",
                    "-" if item.asks is None else item.asks,
                    moment(item.asked_at),
                    item.note,
                )
                for item in found
            ],
        )
    )


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (scope, demand):
        group.add_command(command)
