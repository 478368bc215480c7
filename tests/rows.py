"""Rows for tests: each function adds one and gives it back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from master import builds
from master.leasing import lease_many
from schema.db.models import Attempt, Build, Node, Project, UpstreamFile, Wheel
from schema.db.session import now
from schema.jobs import Heartbeat, Lease
from schema.names import NodeName
from schema.states import BuildState

PLATFORM = "debian12-x86_64-cp311"


def project(session: Session, name: str = "demo") -> Project:
    row = Project(name=name, title=name, check_at=now(session))
    session.add(row)
    session.flush()
    return row


def sdist(session: Session, of: Project, version: str = "1.0") -> UpstreamFile:
    row = UpstreamFile(
        project_id=of.id,
        filename=f"{of.name}-{version}.tar.gz",
        version=version,
        kind="sdist",
        url=f"http://127.0.0.1:9/{of.name}-{version}.tar.gz",
        sha256="0" * 64,
        seen_at=now(session),
    )
    session.add(row)
    session.flush()
    return row


def build(session: Session, of: Project | None = None, **values: Any) -> Build:
    """A queued build of version 1.0, unless *values* say otherwise."""
    of = of or project(session)
    version = values.pop("version", "1.0")
    moment = now(session)
    row = Build(
        **{
            "project_id": of.id,
            "version": version,
            "platform": PLATFORM,
            "sdist_id": sdist(session, of, version).id,
            "policy": "always",
            "state": BuildState.QUEUED,
            "created_at": moment,
            "changed_at": moment,
            **values,
        }
    )
    return builds.insert(session, row)


def node(session: Session, name: str = "n1", *, slots: int = 1, silent_s: float = 0, **values: Any) -> Node:
    """An enrolled node that was heard *silent_s* seconds ago."""
    moment = now(session)
    row = Node(
        **{
            "name": name,
            "certificate": "",
            "outbox": "/nowhere",
            "allowed_platforms": [PLATFORM],
            "platforms": [PLATFORM],
            "slots": slots,
            "enrolled_at": moment,
            "heard_at": moment - timedelta(seconds=silent_s),
            **values,
        }
    )
    session.add(row)
    session.flush()
    return row


def heartbeat(name: str = "n1", **values: Any) -> Heartbeat:
    return Heartbeat(
        **{
            "node": NodeName(name),
            "version": "0.1.0",
            "platforms": (PLATFORM,),
            "slots": 1,
            **values,
        }
    )


def attempt(session: Session, of: Build, *, node: str = "n1", **values: Any) -> Attempt:
    """The next attempt at a build."""
    of.fence += 1
    row = Attempt(build_id=of.id, fence=of.fence, node=node, started_at=now(session), **values)
    session.add(row)
    session.flush()
    return row


def lease(session: Session, of: Build, *, node: NodeName, lease_s: float = 90.0) -> Lease | None:
    """Grant a queued build to a node; None if it is no longer queued."""
    session.flush()
    fences = lease_many(session, [of.id], node=node, at=now(session), lease_s=lease_s)
    return Lease(build_id=of.id, fence=fences[of.id]) if fences else None


def wheel(session: Session, of: Build, **values: Any) -> Wheel:
    """A published pure wheel of a build."""
    row = Wheel(
        **{
            "filename": f"{of.project.name}-{of.version}-py3-none-any.whl",
            "project_id": of.project_id,
            "build_id": of.id,
            "version": of.version,
            "tags": "py3-none-any",
            "sha256": "1" * 64,
            "size_bytes": 1000,
            "metadata_sha256": "2" * 64,
            "provenance_sha256": "3" * 64,
            "published_at": now(session),
            **values,
        }
    )
    session.add(row)
    session.flush()
    return row
