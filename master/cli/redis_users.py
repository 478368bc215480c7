"""``wheelfarm redis``: who may do what in Redis, for farms whose nodes are on other machines."""

from __future__ import annotations

import click

from master import audit, redis_users
from master.cli.farm import reading, writing
from master.redis_users import Granted
from schema import names
from schema.door import Door, Group, answer, answer_json, as_json, pass_door, progress
from schema.redis_url import DEFAULT_USER, TLS, user_of
from schema.settings import Settings

_only_note = click.option(
    "--only-note", is_flag=True, help="Leave Redis alone: its file of users is written from wheelfarm redis users."
)


@click.group(cls=Group)
def redis() -> None:
    """The users of Redis: one for the master, one for each node on another machine."""


@redis.command()
@click.argument("name", type=names.node_name)
@click.option("--host", metavar="HOST[:PORT]", help="How the node reaches Redis; else as redis.url says.")
@_only_note
@as_json
@pass_door
def grant(door: Door, *, name: names.NodeName, host: str | None, only_note: bool, as_json: bool) -> None:
    """Make the Redis user of node NAME and print its URL.

    The user may take from the node's own queue and push to the master's, and nothing else. The URL holds a new
    password, and is shown this once; an older one of the node ends, together with its connections.
    """
    with writing(door.settings) as session:
        made = redis_users.grant(session, door.settings, name, who=audit.person(), host=host, only_note=only_note)
    _tell(made, door.settings, as_json=as_json)
    progress(f"On the machine of node {name}, keep it in a file that only the node's user can read (chmod 600), and")
    progress("name that file in farm.toml there: [redis] url_file = …")


@redis.command("grant-master")
@_only_note
@as_json
@pass_door
def grant_master(door: Door, *, only_note: bool, as_json: bool) -> None:
    """Make the master's own Redis user and print its URL.

    The user may take from the master's queue and push to those of nodes. The URL holds a new password, and is shown
    this once: put it where redis.url_file of the master says, then start the master anew.
    """
    with writing(door.settings) as session:
        made = redis_users.grant_master(session, door.settings, who=audit.person(), only_note=only_note)
    _tell(made, door.settings, as_json=as_json)


@redis.command()
@click.argument("name", type=names.node_name)
@_only_note
@as_json
@pass_door
def revoke(door: Door, *, name: names.NodeName, only_note: bool, as_json: bool) -> None:
    """Remove the Redis user of node NAME, and end its connections."""
    with writing(door.settings) as session:
        removed = redis_users.revoke(session, door.settings, name, who=audit.person(), only_note=only_note)
    if as_json:
        answer_json({"node": name, "removed": removed})
    else:
        answer(f"node {name} {'has no Redis user any more' if removed else 'had no Redis user'}")


@redis.command()
@as_json
@pass_door
def users(door: Door, *, as_json: bool) -> None:
    """Print the farm's users as lines of Redis's aclfile.

    They hold digests of passwords only. Add the line of whoever administers Redis; no other user remains.
    """
    with reading(door.settings) as session:
        lines = redis_users.lines(session, door.settings)
    if user_of(door.settings.redis.url) == DEFAULT_USER:
        progress("No line for the master: redis.url logs in as Redis's default user (wheelfarm redis grant-master)")
    answer_json(lines) if as_json else answer("\n".join(lines))


def _tell(made: Granted, settings: Settings, *, as_json: bool) -> None:
    if as_json:
        answer_json({"user": made.user, "url": made.url, "line": made.line, "saved": made.saved})
    else:
        answer(made.url)
    if made.saved is False:
        progress("Redis was started without an aclfile, so it forgets this user when it is started anew, unless its")
        progress(f"configuration gets this line: {made.line}")
    if settings.redis.url.startswith("redis://"):
        progress(f"redis.url does not begin with {TLS}: the password will cross the network in the clear")


def add_to(group: Group) -> None:
    """Add these commands to *group*."""
    group.add_command(redis)
