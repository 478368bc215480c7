"""``wheelfarm verify``: who built a wheel from what, or why it must not be trusted."""

from __future__ import annotations

from pathlib import Path

import click

from master.verify import verify as check
from schema.door import Door, Group, answer, answer_json, as_json, pass_door


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--index", "index_url", metavar="URL", help="The farm's index that it came from; else this farm.")
@click.option(
    "--authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The certificate (PEM) of the authority to trust; else this farm's own.",
)
@as_json
@pass_door
def verify(door: Door, *, file: Path, index_url: str | None, authority: Path | None, as_json: bool) -> None:
    """Check who built a downloaded wheel from what.

    Exit 0 if the farm built these very bytes, else 1 and the reason.
    """
    report = check(file, settings=door.settings, index_url=index_url, authority=authority)
    answer_json(report.to_json()) if as_json else answer(report.text())


def add_to(group: Group) -> None:
    """Add this command to *group*."""
    group.add_command(verify)
