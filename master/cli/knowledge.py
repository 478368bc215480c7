"""``wheelfarm recipes``: the rules that people wrote, and what came of them."""

from __future__ import annotations

import click
from packaging.utils import NormalizedName

from master.cli.farm import reading
from schema import names
from schema import recipe_files as files
from schema.db import rules
from schema.db.session import now
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door
from schema.printable import one_line


@click.command()
@click.argument("project", required=False)
@click.option(
    "--unused-days",
    type=click.IntRange(min=1),
    default=90,
    show_default=True,
    help="Unused: not used for so long.",
)
@as_json
@pass_door
def recipes(door: Door, *, project: str | None, unused_days: int, as_json: bool) -> None:
    """Which rules there are, of PROJECT or of all, how often each was used and how often it gave a wheel."""
    folders = door.settings.farm.recipes
    chosen = [names.project_name(project)] if project else files.projects(folders)
    found = [rule for name in chosen for rule in files.rules_for(NormalizedName(name), folders)]
    with reading(door.settings) as session:
        rows = rules.report(session, found, now=now(session), unused_days=unused_days)
    if as_json:
        answer_json([row.to_json() for row in rows])
        return
    head = ("RULE", "HOLDS", "USES", "WHEELS", "LAST USED", "EXPIRES", "", "WHY")
    answer(columns(head, [_line(row) for row in rows]) if rows else "there are no rules")


def _line(row: rules.RuleRow) -> tuple[str, ...]:
    used = f"{row.used_at:%Y-%m-%d}" if row.used_at else "never"
    notes = ", ".join(row.notes)
    return (
        row.id,
        one_line(row.applies, limit=80),
        str(row.uses),
        str(row.successes),
        used,
        row.expires or "never",
        notes,
        one_line(row.why, limit=80),
    )


def add_to(group: Group) -> None:
    """Add the command to *group*."""
    group.add_command(recipes)
