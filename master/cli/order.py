"""``wheelfarm score`` and ``ranking``: why a build is before another, and what the farm knows of downloads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from master import audit
from master import ranking as rankings
from master.cli.farm import database, reading
from schema import score as scores
from schema.db import scoring
from schema.db.models import Build
from schema.db.session import now, transaction
from schema.door import Door, Group, answer, answer_json, as_json, columns, pass_door, progress
from schema.errors import UsageError

_TELL_EVERY = 20_000


@click.command()
@click.argument("build", type=click.IntRange(min=1))
@as_json
@pass_door
def score(door: Door, *, build: int, as_json: bool) -> None:
    """Why BUILD is before or behind others: each term of its score."""
    with reading(door.settings) as session:
        row = session.get(Build, build)
        if row is None:
            raise UsageError(f"there is no build {build}", advice="wheelfarm builds lists them")
        terms = scoring.explain(session, row, now=now(session))
        state = row.state
    total = scores.total(terms)
    if as_json:
        answer_json({"build": build, "state": state, "score": total, "terms": [asdict(term) for term in terms]})
        return
    table = [(term.name, f"{term.points:+.1f}", term.because) for term in terms]
    answer(columns(("TERM", "POINTS", "WHY"), [*table, ("score", f"{total:+.1f}", f"the build is {state}")]))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
@pass_door
def ranking(door: Door, *, file: Path, as_json: bool) -> None:
    """Take over how often projects are downloaded from FILE.

    CSV with name,downloads in each line, or JSON with rows of project and download_count.
    """

    def tell(done: int, total: int) -> None:
        if done % _TELL_EVERY == 0:
            progress(f"{done} of {total} projects")

    with database(door.settings) as opened:
        found = rankings.take(opened, file, tell=tell)
        with transaction(opened) as session:
            after = {"file": file.name, **asdict(found)}
            audit.note(session, who=audit.person(), action="ranking", subject=audit.FARM, after=after)
    if as_json:
        answer_json(asdict(found))
        return
    answer(
        f"{found.rows} projects in {file.name}: {found.changed} changed, {found.unknown} not in this farm; "
        f"{found.builds} open builds have a new score"
    )


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (score, ranking):
        group.add_command(command)
