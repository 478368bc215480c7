"""``wheelfarm node`` and ``wheelfarm image``: the machines that build, and the images they build in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import click

from master import audit, operate, reports, targets
from master import enrol as enrolment
from master.cli import reaching, revoking
from master.cli.adding import add
from master.cli.farm import database, reading, writing
from master.cli.processes import become
from master.cli.questions import node_table, tell_node
from master.main_job import python
from master.targets import RemoteOutbox
from schema import names
from schema.attest.authority import Authority
from schema.attest.certificate import key_digest, read
from schema.db.session import transaction
from schema.door import Door, Group, answer, answer_json, as_json, pass_door, progress
from schema.errors import TrustError
from schema.platforms import Platform


@click.group(cls=Group)
def node() -> None:
    """The nodes that build."""


@node.command("list")
@as_json
@pass_door
def list_nodes(door: Door, *, as_json: bool) -> None:
    """Every enrolled node, and whether it lives."""
    with reading(door.settings) as session:
        rows = reports.nodes(session, silent_s=door.settings.timing.lease_s)
    answer_json([asdict(row) for row in rows]) if as_json else answer(node_table(tuple(rows)))


@node.command()
@click.argument("name", type=names.node_name)
@click.option(
    "--csr",
    type=click.File(encoding="ascii"),
    required=True,
    help="The certificate request that the node made (node.csr in its keys folder); - reads it from stdin.",
)
@click.option(
    "--platform",
    "platforms",
    type=Platform.parse,
    metavar="PLATFORM",
    multiple=True,
    help="What it may build for; else all that the farm builds for.",
)
@click.option(
    "--outbox",
    type=targets.outbox,
    metavar="OUTBOX",
    required=True,
    help="Where the master collects from: a folder of its own machine, or sftp://USER@HOST[:PORT]/PATH.",
)
@click.option("--trusted", is_flag=True, help="It gets builds at once, without probation.")
@click.option(
    "--if-needed",
    is_flag=True,
    help="Print the certificate that it has, where key, platforms and outbox are the same and 60 days are left.",
)
@as_json
@pass_door
def enrol(
    door: Door,
    *,
    name: names.NodeName,
    csr: TextIO,
    platforms: tuple[Platform, ...],
    outbox: Path | RemoteOutbox,
    trusted: bool,
    if_needed: bool,
    as_json: bool,
) -> None:
    """Sign the key of node NAME and print its certificate.

    A node that is new, or comes back, is on probation: until enough of what it builds came out as it is known, it
    builds nothing else, and nothing of it is published (nodes.canaries of farm.toml).
    """
    settings = door.settings
    asked: dict[str, Any] = {
        "node": name,
        "csr_pem": _text(csr),
        "platforms": platforms or settings.farm.platforms,
        "outbox": outbox,
    }
    held = None
    with database(settings) as opened:
        if if_needed:
            with transaction(opened) as session:
                held = enrolment.holds(session, **asked)
        certificate = held or enrolment.enrol(
            opened, Authority.create(settings.authority), **asked, trusted=trusted, who=audit.person()
        )
    key = key_digest(read(certificate))
    if as_json:
        answer_json({"node": name, "certificate": certificate, "key": key, "changed": held is None})
        return
    progress(f"node {name} is enrolled with the key sha256:{key}, which its wheelfarm-node new-key told;")
    progress("install this certificate beside it:")
    answer(certificate.rstrip("\n"))


def _text(csr: TextIO) -> str:
    try:
        return csr.read()
    except UnicodeDecodeError as err:
        raise TrustError(f"{csr.name}: not a certificate request") from err


@node.command()
@click.argument("name", type=names.node_name)
@click.option("--reason", default="a person asked for it", help="Shown wherever the node is shown.")
@as_json
@pass_door
def drain(door: Door, *, name: names.NodeName, reason: str, as_json: bool) -> None:
    """Give node NAME no new builds; it ends those it has."""
    with writing(door.settings) as session:
        found = operate.drain(session, name, who=audit.person(), reason=reason)
        tell_node(found, as_json=as_json)


@node.command()
@click.argument("name", type=names.node_name)
@as_json
@pass_door
def resume(door: Door, *, name: names.NodeName, as_json: bool) -> None:
    """Give node NAME builds again, also after its results were refused."""
    with writing(door.settings) as session:
        found = operate.resume(session, name, who=audit.person())
        tell_node(found, as_json=as_json)


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    options_metavar="",
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="list|make|add-python|check [NAME]")
@pass_door
def image(door: Door, *, arguments: tuple[str, ...]) -> None:
    """The images of this machine (wheelfarm-node image)."""
    # The images belong to the node's half of the farm, which the master's half never imports.
    chosen = ["--settings", str(door.settings_file)] if door.settings_file else []
    become(python("builder.cli", *chosen, "image", *arguments))


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    node.add_command(add)
    reaching.add_to(node)
    revoking.add_to(node)
    for command in (node, image):
        group.add_command(command)
