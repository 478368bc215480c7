"""``wheelfarm node quarantine``, ``retire`` and ``revoke``: nodes that are not trusted, or that leave the farm."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from master import audit, operate, redis_users
from master import revoke as revoking
from master.cli.farm import writing
from master.cli.questions import tell_node
from schema import names
from schema.door import Door, Group, answer, answer_json, as_json, pass_door, progress
from schema.errors import SettingsError, UnavailableError, UsageError

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])


@click.command()
@click.argument("name", type=names.node_name)
@click.option("--reason", default="a person set it aside", help="Shown wherever the node is shown.")
@as_json
@pass_door
def quarantine(door: Door, *, name: names.NodeName, reason: str, as_json: bool) -> None:
    """Give node NAME no new builds while somebody looks into it; wheelfarm node resume takes it back.

    It ends the builds that it has, and its wheels stay. For a node that was broken into: wheelfarm node revoke.
    """
    with writing(door.settings) as session:
        tell_node(operate.quarantine(session, name, who=audit.person(), reason=reason), as_json=as_json)


@click.command()
@click.argument("name", type=names.node_name)
@click.option("--reason", default="a person retired it", help="Shown wherever the node is shown.")
@as_json
@pass_door
def retire(door: Door, *, name: names.NodeName, reason: str, as_json: bool) -> None:
    """Take node NAME out of the farm: others build what it works on, and its wheels stay.

    To let it end its builds first: wheelfarm node drain. Enrolling it again takes it back.
    """
    with writing(door.settings) as session:
        retired = revoking.retire(session, name, who=audit.person(), reason=reason)
    _end_in_redis(door, name, who=audit.person())
    tell_node(retired, as_json=as_json)


@click.command()
@click.argument("name", type=names.node_name)
@click.option("--since", type=_MOMENT, required=True, help="From when on it is not trusted, in UTC: 2026-11-28T14:00.")
@click.option("--reason", required=True, help="Shown wherever the node and its wheels are shown.")
@as_json
@pass_door
def revoke(door: Door, *, name: names.NodeName, since: datetime, reason: str, as_json: bool) -> None:
    """Trust node NAME no more: hide every wheel that it built since then, and have each built again elsewhere.

    So are the wheels that others built with one of these. Its key is refused from now on; to take it back, set the
    machine up anew, make a new key (wheelfarm-node new-key) and enrol it. Whoever interrupts this may run it again.
    """
    moment = since.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise UsageError(f"{since} is in the future", advice="--since is in UTC")
    who = audit.person()
    with writing(door.settings) as session:
        revoking.revoke(session, name, since=moment, who=who, reason=reason)
    _end_in_redis(door, name, who=who)
    wheels, builds = list[str](), list[int]()
    while True:
        with writing(door.settings) as session:
            taken = revoking.take_back(session, name, since=moment, who=who, reason=reason)
        if not taken.wheels:
            break
        wheels += taken.wheels
        builds += taken.builds
        progress(f"{len(wheels)} wheels taken back, {len(builds)} builds queued in their place")
    if as_json:
        answer_json({"name": name, "state": "revoked", "wheels": wheels, "builds": builds})
    else:
        answer(f"node {name} is revoked; {len(wheels)} wheels taken back, {len(builds)} builds queued in their place")


def _end_in_redis(door: Door, name: names.NodeName, *, who: str) -> None:
    """End its Redis user, if it has one; a Redis that is away keeps nobody from taking a node out."""
    try:
        with writing(door.settings) as session:
            if redis_users.has_one(session, name):
                redis_users.revoke(session, door.settings, name, who=who)
    except (SettingsError, UnavailableError) as err:
        progress(f"it can still reach Redis: {err}; then end that with wheelfarm redis revoke {name}")


def add_to(group: Group) -> None:
    """Add these commands to *group*, which is ``wheelfarm node``."""
    for command in (quarantine, retire, revoke):
        group.add_command(command)
