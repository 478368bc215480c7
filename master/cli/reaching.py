"""``wheelfarm node host-key`` and ``reach``: for a playbook that sets a node up, and for whoever does so by hand."""

from __future__ import annotations

import click

from master import audit, host_keys
from master.cli.farm import reading, writing
from master.outboxes import Reach, opened
from master.ssh import HostKey
from master.targets import Target
from schema import log, names
from schema.db.models import Node
from schema.door import Door, Group, answer, answer_json, as_json, pass_door
from schema.errors import UsageError
from schema.jobs import Lease
from schema.printable import one_line

_NO_ATTEMPT = Lease(build_id=0, fence=0)


@click.command("host-key")
@click.argument("name", type=names.node_name)
@click.argument("target", type=Target.parse, metavar="USER@HOST[:PORT]")
@click.argument("key", type=HostKey.parse, metavar='"KIND BASE64"')
@click.option("--new-host-key", is_flag=True, help="Accept another host key than the one that was accepted before.")
@as_json
@pass_door
def host_key(
    door: Door, *, name: names.NodeName, target: Target, key: HostKey, new_host_key: bool, as_json: bool
) -> None:
    """Accept KEY as the SSH host key of node NAME, without asking the machine: for who read it there.

    KEY are the first two words of /etc/ssh/ssh_host_ed25519_key.pub. To see the key that the machine shows, and what it
    can build: wheelfarm node add.
    """
    if key.blob[4:].partition(key.kind.encode())[0] or not key.blob[4:]:
        raise UsageError(f"not the public half of an SSH key: {one_line(str(key), limit=80)}")
    with writing(door.settings) as session:
        if not new_host_key:
            host_keys.refuse_another(session, name, target, key)
        changed = not host_keys.is_pinned(session, name, target, key)
        if changed:
            host_keys.pin(session, name, target, key, who=audit.person(), action="host-key")
    if as_json:
        answer_json({"node": name, "host_key": key.fingerprint, "changed": changed})
    else:
        answer(f"{key.fingerprint} {'is accepted' if changed else 'was accepted before'} for node {name}")


@click.command()
@click.argument("name", type=names.node_name)
@as_json
@pass_door
def reach(door: Door, *, name: names.NodeName, as_json: bool) -> None:
    """Whether the master can take results from the outbox of node NAME; says what is in the way if not."""
    log.hush()
    settings = door.settings
    with reading(settings) as session:
        row = session.get(Node, name)
        if row is None:
            raise UsageError(f"there is no node {name}", advice="wheelfarm node enrol makes it known first")
        pinned, location = host_keys.pinned(session, name), row.outbox
    with opened(name, location, host_key=str(pinned or ""), reach=Reach(identity=settings.ssh)) as outbox:
        outbox.has(_NO_ATTEMPT)
    answer_json({"node": name, "outbox": location}) if as_json else answer(f"{location} can be reached")


def add_to(group: Group) -> None:
    """Add these commands to *group*, which is ``wheelfarm node``."""
    for command in (host_key, reach):
        group.add_command(command)
