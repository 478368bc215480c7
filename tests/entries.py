"""Rows for tests of what people are shown: each function adds one with believable values, and takes what matters.

Unlike ``tests.rows`` nothing is added beside it, and times are real ones around now.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from master import builds
from schema.db.models import Alarm, Attempt, AuditEntry, Build, Mark, Node, Project, Request, UpstreamFile, Wheel

Row = TypeVar("Row")

HERE = "debian12-x86_64-cp311"
ARM = "debian12-aarch64-cp311"


def ago(**units: float) -> datetime:
    """So long before now; without *units* now itself."""
    return datetime.now(UTC) - timedelta(**units)


def later(**units: float) -> datetime:
    """So long after now."""
    return datetime.now(UTC) + timedelta(**units)


def digest(text: str) -> str:
    """A digest as good as any."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def project(session: Session, name: str = "cffi", **values: Any) -> Project:
    row = Project(**{"name": name, "title": name, "checked_at": ago(minutes=9), "check_at": ago(), **values})
    return _added(session, row)


def sdist(session: Session, of: Project, version: str = "1.17.1", **values: Any) -> UpstreamFile:
    filename = f"{of.name}-{version}.tar.gz"
    row = UpstreamFile(
        **{
            "project_id": of.id,
            "filename": filename,
            "version": version,
            "kind": "sdist",
            "url": f"https://upstream.example/{filename}",
            "sha256": digest(filename),
            "size_bytes": 516_621,
            "uploaded_at": ago(days=40),
            "seen_at": ago(days=1),
            **values,
        }
    )
    return _added(session, row)


def request(session: Session, of: Project, **values: Any) -> Request:
    row = Request(
        **{
            "project_id": of.id,
            "policy": "missing",
            "origin": "person",
            "created_at": ago(hours=2),
            "resolved_at": ago(hours=1),
            **values,
        }
    )
    return _added(session, row)


def build(session: Session, of: Project, version: str = "1.17.1", **values: Any) -> Build:
    row = Build(
        **{
            "project_id": of.id,
            "version": version,
            "platform": HERE,
            "policy": "always",
            "state": "queued",
            "created_at": ago(hours=1),
            "changed_at": ago(minutes=30),
            **values,
        }
    )
    return builds.insert(session, row)


def attempt(session: Session, of: Build, **values: Any) -> Attempt:
    row = Attempt(
        **{
            "build_id": of.id,
            "fence": of.fence,
            "node": "pi4",
            "outcome": "running",
            "started_at": ago(minutes=5),
            **values,
        }
    )
    return _added(session, row)


def wheel(session: Session, of: Build, filename: str, **values: Any) -> Wheel:
    row = Wheel(
        **{
            "filename": filename,
            "project_id": of.project_id,
            "build_id": of.id,
            "version": of.version,
            "tags": "-".join(filename.removesuffix(".whl").split("-")[-3:]),
            "view": of.platform.rpartition("-")[0] if "-linux_" in filename else None,
            "sha256": digest(filename),
            "size_bytes": 467_218,
            "metadata_sha256": digest(f"{filename} metadata"),
            "provenance_sha256": digest(f"{filename} provenance"),
            "published_at": ago(minutes=20),
            **values,
        }
    )
    return _added(session, row)


def node(session: Session, name: str = "pi4", **values: Any) -> Node:
    row = Node(
        **{
            "name": name,
            "certificate": "",
            "outbox": "",
            "platforms": [HERE],
            "slots": 1,
            "version": "0.1.0",
            "enrolled_at": ago(days=3),
            "heard_at": ago(),
            **values,
        }
    )
    return _added(session, row)


def alarm(session: Session, name: str = "node-silent:pi4", **values: Any) -> Alarm:
    row = Alarm(**{"name": name, "text": "Node pi4 is silent.", "raised_at": ago(minutes=12), **values})
    return _added(session, row)


def mark(session: Session, name: str, **values: Any) -> Mark:
    return _added(session, Mark(**{"name": name, "changed_at": ago(minutes=2), **values}))


def audit(session: Session, subject: str = "build 1", **values: Any) -> AuditEntry:
    row = AuditEntry(
        **{
            "at": ago(minutes=7),
            "who": "ada",
            "action": "hold",
            "subject": subject,
            "before": {"state": "queued"},
            "after": {"state": "held"},
            "reason": "it needs a look",
            **values,
        }
    )
    return _added(session, row)


def _added(session: Session, row: Row) -> Row:
    session.add(row)
    session.flush()
    return row
