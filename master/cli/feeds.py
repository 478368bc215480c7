"""``wheelfarm feed`` and ``wheelfarm reconcile``: how the farm follows its upstream."""

from __future__ import annotations

import click

from master import audit, marks
from master.cli.farm import reading, writing
from master.cli.questions import moment
from master.feed.choose import MARK, RECONCILE, UNKNOWN, ask_for_reconcile
from schema.db.models import Mark
from schema.door import Door, Group, answer, answer_json, as_json, pass_door


@click.command()
@as_json
@pass_door
def feed(door: Door, *, as_json: bool) -> None:
    """Which feed tells of the upstream's news, and how far it was taken."""
    with reading(door.settings) as session:
        mark, unknown = session.get(Mark, MARK), session.get(Mark, UNKNOWN)
    found = {
        "feed": mark.cursor if mark else None,
        "note": mark.note if mark else "",
        "serial": mark.serial if mark else 0,
        "asked_at": mark.changed_at if mark else None,
        "unknown_actions": unknown.done if unknown else 0,
        "newest_unknown": unknown.note if unknown else "",
    }
    if as_json:
        answer_json(found)
    elif mark is None:
        answer("the upstream was not asked yet")
    else:
        newest = f", the newest: {unknown.note}" if unknown else ""
        answer(
            f"feed     {mark.note}\nserial   {mark.serial}\nasked    {moment(mark.changed_at)} UTC\n"
            f"unknown  {found['unknown_actions']} actions{newest}"
        )


@click.command()
@as_json
@pass_door
def reconcile(door: Door, *, as_json: bool) -> None:
    """Have the master compare everything with the upstream; tell how far one that runs has come."""
    with writing(door.settings) as session:
        ask_for_reconcile(session)
        audit.note(session, who=audit.person(), action="reconcile", subject=audit.FARM)
        mark = marks.at(session, RECONCILE)
        found = {"done": mark.done, "total": mark.total, "started_at": mark.started_at, "note": mark.note}
    answer_json(found) if as_json else answer(f"{mark.note}: {mark.done} of {mark.total or 'an unknown number'}")


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (feed, reconcile):
        group.add_command(command)
