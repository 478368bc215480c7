"""The SSH host keys that people accepted, each for one node; nothing is exchanged with a machine that shows another.

They stand in a table of their own, by the node's name: the key is needed before the node is enrolled, and a row in
``nodes`` would be a node to everything that lists, counts or alarms.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from master import audit
from master.ssh import HostKey
from master.targets import RemoteOutbox, Target, place
from schema.db import models
from schema.db.session import now
from schema.errors import HostKeyError, UsageError
from schema.names import NodeName


def pinned(session: Session, node: NodeName) -> HostKey | None:
    """The key that was accepted for *node*; None where none was."""
    row = session.get(models.HostKey, node)
    return HostKey.parse(row.key) if row else None


def refuse_another(session: Session, node: NodeName, target: Target, shown: HostKey) -> None:
    """Raise HostKeyError if another key than *shown* was accepted for *node*."""
    known = pinned(session, node)
    if known is not None and known != shown:
        raise HostKeyError(node, target.place, pinned=known.fingerprint, shown=shown.fingerprint)


def is_pinned(session: Session, node: NodeName, target: Target, key: HostKey) -> bool:
    """Whether *key* was accepted for *node* at just that place."""
    row = session.get(models.HostKey, node)
    return row is not None and (row.host, row.port, row.key) == (target.host, target.port, str(key))


def pin(session: Session, node: NodeName, target: Target, key: HostKey, *, who: str, action: str = "add") -> None:
    """Accept *key* for *node* from now on, in the place of any other; action: the command, for the audit trail."""
    at, row = now(session), session.get(models.HostKey, node)
    before = {"place": place(row.host, row.port), "key": row.key} if row else {}
    if row is None:
        row = models.HostKey(node=node, host=target.host, port=target.port, key=str(key), pinned_at=at)
        session.add(row)
    row.host, row.port, row.key, row.pinned_at = target.host, target.port, str(key), at
    after = {"place": target.place, "key": str(key)}
    audit.note(session, who=who, action=action, subject=f"node {node}", before=before, after=after)


def expect_for(session: Session, node: NodeName, outbox: RemoteOutbox) -> None:
    """Raise UsageError unless a host key was accepted for *node* where that outbox is."""
    row = session.get(models.HostKey, node)
    target = outbox.target
    if row is None:
        raise UsageError(
            f"no SSH host key was accepted for node {node}, so nothing could be fetched from {outbox}",
            advice=f"first: wheelfarm node add {node} USER@{target.place}",
        )
    if (row.host, row.port) != (target.host, target.port):
        known = place(row.host, row.port)
        raise UsageError(
            f"the SSH host key of node {node} was accepted at {known}; the outbox is at {target.place}",
            advice=f"name the outbox by {known}, or first: wheelfarm node add {node} USER@{target.place}",
        )
