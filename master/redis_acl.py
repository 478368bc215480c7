"""The rules of the farm's Redis users: what each may do, and with which keys. Pure text; nothing here asks a Redis.

Rules of Redis 7 and of every Valkey: who pushes to a queue, and may do nothing else with it, has that right in a
selector, ``(+lpush %W~KEY)``. Redis 6 knows neither selectors nor rights to only write, and refuses such a rule. By
rules of its own a node that may push to the master's queue could also empty it, so the farm has none for Redis 6.

What Celery needs, as Redis's MONITOR showed it: PING, by which kombu begins; LLEN of the queue that is listened to, as
its declaration, within MULTI and EXEC; BRPOP; LPUSH to the others' queues. The master also empties its own queue, with
DEL, when it begins to lead. HELLO and AUTH are allowed to everybody.
"""

from __future__ import annotations

from hashlib import sha256

from schema import wire
from schema.names import NodeName, Sha256
from schema.redis_url import DEFAULT_USER

_LISTENING = ("+ping", "+multi", "+exec", "+llen", "+brpop")
# What a user has of its own is taken away first, should the same name have had more.
_NOTHING = ("reset",)
_FROM_NOTHING = ("resetchannels", "-@all")


def node_rules(node: NodeName, digest: Sha256) -> tuple[str, ...]:
    """Of a node's user: takes from its own queue, pushes to the master's, and nothing else.

    digest: SHA-256 of the password; each rule is one word of ``ACL SETUSER``
    """
    own = wire.node_queue(node)
    return _rules(digest, _LISTENING, own=own, rings=wire.key(wire.MASTER_QUEUE))


def master_rules(digest: Sha256) -> tuple[str, ...]:
    """Of the master's user: takes from its own queue and may empty it, pushes to those of all nodes."""
    return _rules(digest, (*_LISTENING, "+del"), own=wire.MASTER_QUEUE, rings=wire.key(wire.EVERY_NODES_QUEUE))


def _rules(digest: Sha256, commands: tuple[str, ...], *, own: str, rings: str) -> tuple[str, ...]:
    return (*_FROM_NOTHING, *commands, f"~{wire.key(own)}", f"(-@all +lpush %W~{rings})", f"#{digest}", "on")


def set_user(user: str, rules: tuple[str, ...]) -> tuple[str, ...]:
    """The words after ``ACL``."""
    return ("SETUSER", user, *_NOTHING, *rules)


def line(user: str, rules: tuple[str, ...]) -> str:
    """The user's line in a file of users (``aclfile``)."""
    return " ".join(("user", user, *rules))


# Without a line of its own, Redis's default user may do everything, and needs no password.
NOBODY = line(DEFAULT_USER, ("reset", "off"))


def digest(password: str) -> Sha256:
    """What Redis keeps of a password; for random ones of 256 bits a single SHA-256 is enough."""
    return Sha256(sha256(password.encode()).hexdigest())
