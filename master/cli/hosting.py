"""``wheelfarm migrate``, ``ssh-key``, ``metrics``: for whoever sets up the machine of a master, and looks after it."""

from __future__ import annotations

from pathlib import Path

import click

from master import identity
from master.cli.farm import reading
from master.store import write_atomically
from schema.db import metrics as figures
from schema.db import migrate as migrations
from schema.db.session import engine
from schema.door import Door, Group, answer, answer_json, as_json, pass_door
from schema.errors import UsageError


@click.command()
@as_json
@pass_door
def migrate(door: Door, *, as_json: bool) -> None:
    """Bring the database to this version of the farm; make its tables where there are none.

    Every master does so when it starts. Before that, for the commands that want a database: wheelfarm redis
    grant-master is one. Stop masters of an older version first.
    """
    opened = engine(door.settings.database_url)
    try:
        changed = migrations.upgrade_if_needed(opened)
    finally:
        opened.dispose()
    if as_json:
        answer_json({"changed": changed})
    else:
        answer("the database is of this version now" if changed else "the database was of this version already")


@click.command("ssh-key")
@as_json
@pass_door
def ssh_key(door: Door, *, as_json: bool) -> None:
    """Print the public half of the key with which the farm reaches its nodes; make it at first use."""
    public = identity.public(door.settings.ssh)
    answer_json({"key": public}) if as_json else answer(public)


@click.command()
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write them there, whole or not at all: for node_exporter's textfile collector, ending in .prom.",
)
@pass_door
def metrics(door: Door, *, file: Path | None) -> None:
    """The farm's figures in Prometheus's text format: builds, queue, times, wheels, alarms, nodes.

    The front-end serves the same at /metrics, and how fast it answers beside it.
    """
    with reading(door.settings) as session:
        found, _ = figures.text(figures.families(session, silent_s=door.settings.timing.lease_s))
    if file is None:
        answer(found.decode().rstrip("\n"))
    else:
        write(file, found)


def write(file: Path, content: bytes) -> None:
    """Put *content* at *file*, for everybody to read: a reader sees the old file or the new one. Raise UsageError."""
    try:
        file.parent.stat()  # one that is not there is a mistake
        write_atomically(file, content)
    except OSError as err:
        raise UsageError(f"{file} cannot be written: {err.strerror}", advice="is its folder there, and ours?") from err


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    for command in (migrate, ssh_key, metrics):
        group.add_command(command)
