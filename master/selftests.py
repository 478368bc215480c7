"""Whether a node's sandboxes hold, by what it has signed of them: who did not try, or let something through, is out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from json import dumps, loads

from schema.attest import verify
from schema.attest.tested import SelfTested
from schema.db.models import Node
from schema.errors import TrustError
from schema.jobs import Heartbeat
from schema.names import Sha256, node_name
from schema.protocol import SELF_TEST

_YET_TO_COME = "its sandboxes were not tested yet: its agent does that once it has an image (wheelfarm-node image make)"


def held(node: Node, message: Heartbeat, authority_pem: str, at: datetime) -> Callable[[str], bool] | None:
    """Note in *node* what it says of its sandboxes, and why it may not build; give which images it may build in.

    None: any, as for an agent of a protocol that knows no self-test.
    """
    if message.protocol < SELF_TEST:
        return None
    if message.self_test is not None:
        node.self_test = message.self_test
    tested, node.unfit = _tested(node, message.version, authority_pem, at)
    return tested.holds if tested is not None and not node.unfit else lambda _: False


def _tested(node: Node, version: str, authority_pem: str, at: datetime) -> tuple[SelfTested | None, str]:
    """What it has signed, and why it may not build."""
    if not node.self_test:
        return None, _YET_TO_COME
    # Each heartbeat brings the same one: its signature is checked once in an hour, and not every few seconds.
    hour = at.replace(minute=0, second=0, microsecond=0)
    try:
        tested, key = _read(dumps(node.self_test, sort_keys=True), node.name, authority_pem, hour)
    except TrustError as err:
        return None, f"its self-test does not stand: {err}"
    if key in node.revoked_keys:
        return None, "its self-test is signed with a key that was revoked: wheelfarm-node new-key there, then enrol it"
    return tested, tested.trouble(version)


@lru_cache(maxsize=1024)
def _read(sealed: str, node: str, authority_pem: str, hour: datetime) -> tuple[SelfTested, Sha256]:
    return verify.self_test(loads(sealed), node=node_name(node), authority_pem=authority_pem, at=hour)
