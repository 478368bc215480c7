"""Enrol a node: sign its key, note what it may build and where its outbox is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import audit, host_keys
from master.targets import RemoteOutbox
from schema.attest.authority import Authority, NodeKey
from schema.attest.certificate import key_digest, public_digest, read
from schema.attest.issue import requested_key
from schema.db.models import Node
from schema.db.session import now, transaction
from schema.errors import TrustError
from schema.names import NodeName, node_name
from schema.platforms import Platform
from schema.settings import Settings
from schema.states import GONE, NodeState

_RENEW_BEFORE = timedelta(days=60)


def enrol(
    database: Engine,
    authority: Authority,
    *,
    node: NodeName,
    csr_pem: str,
    platforms: Sequence[Platform],
    outbox: Path | RemoteOutbox,
    who: str | None = None,
    trusted: bool = False,
) -> str:
    """Note the node and give its certificate (PEM); enrolling again replaces certificate and platforms.

    A node that left the farm is taken back; one that was revoked must have made a new key, else TrustError.
    who: the person who did so; None where the farm enrols its own node, which is trusted: it is the master's machine
    trusted: it gets builds at once; else a node that is new, or comes back, is on probation (``master.canaries``)
    Raise UsageError for an outbox on a machine whose SSH host key nobody accepted for this node.
    """
    names = [str(platform) for platform in platforms]
    certificate = authority.certify(csr_pem, node=node, platforms=names)
    with transaction(database) as session:
        if isinstance(outbox, RemoteOutbox):
            host_keys.expect_for(session, node, outbox)
        row = session.get(Node, node)
        if row is not None and key_digest(read(certificate)) in row.revoked_keys:
            raise TrustError(
                f"the key of node {node} was revoked", advice="on the node: wheelfarm-node new-key; then enrol that"
            )
        before = {"platforms": row.allowed_platforms, "outbox": row.outbox} if row is not None else {}
        if row is None:
            row = Node(name=node, certificate=certificate, outbox=str(outbox), enrolled_at=now(session))
            session.add(row)
            is_new = True
        else:
            is_new = row.state in GONE
        row.certificate, row.outbox, row.allowed_platforms = certificate, str(outbox), names
        _let_in(session, row, is_new=is_new, own=who is None, trusted=trusted)
        if who is not None:
            after = {
                "platforms": names,
                "outbox": str(outbox),
                "certificate": sha256(certificate.encode()).hexdigest(),
                "state": row.state,
                "trusted": trusted,
            }
            audit.note(session, who=who, action="enrol", subject=f"node {node}", before=before, after=after)
    return certificate


def _let_in(session: Session, row: Node, *, is_new: bool, own: bool, trusted: bool) -> None:
    """Say whether it has to show first what it builds."""
    if trusted:
        row.probation_since = None
        if is_new or row.state == NodeState.PROBATION:
            row.state, row.state_reason = NodeState.ACTIVE, ""
    elif is_new and not own:
        row.state, row.state_reason, row.probation_since = NodeState.PROBATION, "", now(session)


def holds(
    session: Session,
    *,
    node: NodeName,
    csr_pem: str,
    platforms: Sequence[Platform],
    outbox: Path | RemoteOutbox,
) -> str | None:
    """The certificate (PEM) of *node*, if it is enrolled with just that key, outbox and *platforms* for a while yet."""
    row = session.get(Node, node)
    if row is None or row.state in GONE:
        return None
    held = read(row.certificate)
    is_same = (
        key_digest(held) == public_digest(requested_key(csr_pem))
        and row.outbox == str(outbox)
        and set(row.allowed_platforms) == {str(platform) for platform in platforms}
    )
    return row.certificate if is_same and held.not_valid_after_utc > datetime.now(UTC) + _RENEW_BEFORE else None


def enrol_local(database: Engine, settings: Settings) -> None:
    """Enrol this machine's own node for the farm's platforms; the authority and the key are made where missing."""
    name = node_name(settings.node.name)
    authority = Authority.create(settings.authority)
    key = NodeKey.create(settings.node_keys, name)
    certificate = enrol(
        database,
        authority,
        node=name,
        csr_pem=key.csr_pem(),
        platforms=settings.farm.platforms,
        outbox=settings.outbox,
    )
    key.install(certificate)
