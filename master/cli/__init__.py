"""``wheelfarm``: the command of the farm's operators."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click

from master.cli import (
    anatomies,
    changes,
    comparing,
    downloading,
    feeds,
    hosting,
    installing,
    keeping,
    knowledge,
    machines,
    order,
    people,
    processes,
    questions,
    rebuilding,
    redis_users,
    scope,
    steering,
    trust,
    webhooks,
    wheelhouse,
)
from schema import door
from schema.door import Door, Group


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@door.settings_file
@click.version_option(version("wheelfarm"), prog_name="wheelfarm")
@click.pass_context
def farm(context: click.Context, *, settings_file: Path | None) -> None:
    """A self-hosted farm that builds wheels from source distributions, and serves them as an index."""
    context.obj = Door(settings_file)


for part in (
    processes,
    changes,
    rebuilding,
    steering,
    questions,
    installing,
    feeds,
    scope,
    order,
    downloading,
    knowledge,
    machines,
    redis_users,
    keeping,
    hosting,
    anatomies,
    trust,
    wheelhouse,
    comparing,
    people,
    webhooks,
):
    part.add_to(farm)


def main() -> None:
    """Run the command that the process was started with."""
    door.run(farm, name="wheelfarm")
