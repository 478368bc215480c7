"""How a node stands with the master: set aside for what it did, or only out of reach for now."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from schema.db.models import Node
from schema.names import NodeName
from schema.states import NodeState

log = logging.getLogger(__name__)

_OUT_OF_REACH = "its results cannot be fetched now: "


def set_aside(session: Session, node: NodeName, why: str) -> None:
    """Give it nothing more until a person has looked; the first reason stays."""
    row = session.get(Node, node)
    if row is not None and row.state in {NodeState.PROBATION, NodeState.ACTIVE, NodeState.DRAINING}:
        log.error("node %s is set aside: %s", node, why)
        row.state, row.state_reason = NodeState.QUARANTINED, why


def out_of_reach(session: Session, node: NodeName, why: str) -> None:
    """Have people see why its results do not come; nothing else changes, and it gets builds as before."""
    row = session.get(Node, node)
    if row is not None and row.state == NodeState.ACTIVE:
        row.state_reason = f"{_OUT_OF_REACH}{why}"


def within_reach(session: Session, node: NodeName) -> None:
    """Its results come again."""
    row = session.get(Node, node)
    if row is not None and row.state_reason.startswith(_OUT_OF_REACH):
        row.state_reason = ""
