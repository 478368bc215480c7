"""Published wheels for tests: real, installable files in a real store, and their rows."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename
from sqlalchemy import select
from sqlalchemy.orm import Session

from master import builds
from master.site import Site
from master.store import Store
from schema.db.models import Build, Project, Repeat, UpstreamFile, Wheel
from schema.db.session import now
from schema.states import BuildState
from tests import rows

PUBLISHED_AT = datetime(2026, 11, 20, 10, 30, 0, 123456, tzinfo=UTC)


def wheel_file(
    folder: Path,
    name: str,
    version: str,
    *,
    tag: str = "py3-none-any",
    build: str = "",
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    padding_bytes: int = 0,
) -> Path:
    """A wheel with one module, named as the project, whose ``VERSION`` is what was installed."""
    module = name.replace("-", "_").replace(".", "_")
    dist_info = f"{module}-{version}.dist-info"
    headers = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {item}" for item in requires)]
    if requires_python is not None:
        headers.append(f"Requires-Python: {requires_python}")
    tags = [f"Tag: {tag}", *([f"Build: {build}"] if build else [])]
    pure = str(tag.endswith("-any")).lower()
    members = {
        f"{module}.py": f"VERSION = {version!r}\n".encode() + b"#" * padding_bytes,
        f"{dist_info}/METADATA": "\n".join(["Metadata-Version: 2.1", *headers, ""]).encode(),
        f"{dist_info}/WHEEL": "\n".join(["Wheel-Version: 1.0", f"Root-Is-Purelib: {pure}", *tags, ""]).encode(),
    }
    record = "".join(f"{path},{_record_digest(data)},{len(data)}\n" for path, data in members.items())
    members[f"{dist_info}/RECORD"] = f"{record}{dist_info}/RECORD,,\n".encode()
    path = folder / "-".join([module, version, *([build] if build else []), f"{tag}.whl"])
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data)
    return path


def metadata_of(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))


def project(session: Session, name: str) -> Project:
    """The project of that name, made if it is not there yet."""
    normalised = canonicalize_name(name)
    return session.scalar(select(Project).where(Project.name == normalised)) or rows.project(session, normalised)


def publish(
    session: Session, store: Store, wheel: Path, *, view: str | None = None, platform: str = rows.PLATFORM
) -> Wheel:
    """Put the wheel, its METADATA and a provenance into the store, and add the rows that a publish leaves."""
    name, version, _, tags = parse_wheel_filename(wheel.name)
    of = project(session, name)
    build = _published_build(session, of, str(version), platform)
    metadata = metadata_of(wheel)
    row = Wheel(
        filename=wheel.name,
        project_id=of.id,
        build_id=build.id,
        version=str(version),
        tags=" ".join(sorted(map(str, tags))),
        view=view,
        sha256=store.put(wheel),
        size_bytes=wheel.stat().st_size,
        metadata_sha256=store.put_bytes(metadata),
        provenance_sha256=store.put_bytes(json.dumps({"version": 1, "of": wheel.name}).encode()),
        requires_python=_requires_python(metadata),
        published_at=PUBLISHED_AT,
    )
    session.add(row)
    session.flush()
    return row


def repeat(session: Session, wheel: Wheel, verdict: str | None = None) -> Repeat:
    """The wheel's build, done once more, and what came of it."""
    again = _published_build(session, wheel.project, wheel.version, wheel.build.platform)
    row = Repeat(build_id=wheel.build_id, again_id=again.id, verdict=verdict)
    session.add(row)
    session.flush()
    return row


def _published_build(session: Session, of: Project, version: str, platform: str) -> Build:
    release = {"project_id": of.id, "version": version}
    sdist = session.scalar(select(UpstreamFile).filter_by(**release, kind="sdist")) or rows.sdist(session, of, version)
    earlier = session.scalars(select(Build).filter_by(**release, platform=platform)).all()
    moment = now(session)
    build = Build(
        **release,
        platform=platform,
        build_number=len(earlier),
        sdist_id=sdist.id,
        policy="always",
        state=BuildState.PUBLISHED,
        created_at=moment,
        changed_at=moment,
    )
    builds.insert(session, build)
    return build


def _requires_python(metadata: bytes) -> str | None:
    lines = metadata.decode().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("Requires-Python: ")), None)


def _record_digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def render_lists(session: Session, site: Site) -> None:
    """Write every list and constraints file of *site* as the database is."""
    lists = site.lists()
    lists.read(session)
    site.write_lists(lists)
