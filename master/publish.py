"""Publish a checked wheel: bytes into the store first, then one transaction; or find that it brings nothing new."""

from __future__ import annotations

import calendar
import json
import logging
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import anatomies, builds, crash, materials, rebuilds, repeats, what_worked
from master.accepted import Accepted
from master.keep import damage
from master.store import Store
from master.webhooks import events
from schema.attest import statement, verify
from schema.attest.authority import Authority
from schema.db.models import Build, Wheel
from schema.db.session import now, transaction
from schema.jobs import WheelFile
from schema.names import Sha256, sha256_of
from schema.platforms import Platform
from schema.sections import RepeatSection
from schema.states import BuildState
from schema.wheels.anatomy import Anatomy
from schema.wheels.canonical import repack
from schema.wheels.check import WheelFacts
from schema.wheels.examine import examine

log = logging.getLogger(__name__)

_MEMBERS_NAMED = 5


def publish(
    database: Engine, store: Store, authority: Authority, accepted: Accepted, *, repeat: RepeatSection | None = None
) -> None:
    """Store the bytes, then make them public in one transaction; a crash in between leaves only an orphan in the store.

    Safe to repeat. Nothing happens if the lease is not held any more.
    repeat: which builds are built once more then; None: none is
    """
    facts = accepted.facts
    store.put(accepted.wheel, expected=facts.sha256)
    crash.point("wheel-stored")
    store.put_bytes(facts.metadata)
    with transaction(database) as session:
        at = now(session)
    provenance = verify.make_provenance(
        accepted.attestation,
        authority.sign(
            statement.summary(
                farm=accepted.farm,
                wheel=WheelFile(filename=facts.filename, sha256=facts.sha256, size_bytes=facts.size_bytes),
                provenance_attestation=accepted.attestation,
                at=at,
                platform=accepted.platform,
            )
        ),
        accepted.farm,
    )
    provenance_sha256 = store.put_bytes(json.dumps(provenance, sort_keys=True).encode())
    comparison = _compare(database, store, accepted)
    found = examine(accepted.wheel, filename=facts.filename, sha256=facts.sha256)
    crash.point("provenance-stored")
    with transaction(database) as session:
        _publish(session, accepted, provenance_sha256, comparison, found, repeat=repeat or RepeatSection())
    crash.point("published")


def _publish(
    session: Session,
    accepted: Accepted,
    provenance_sha256: Sha256,
    comparison: _Comparison | None,
    found: Anatomy,
    *,
    repeat: RepeatSection,
) -> None:
    build = builds.held_by(session, accepted.lease, accepted.node, for_update=True)
    if build is None:
        log.info("build %s: its lease is not held any more; nothing is published", accepted.lease.build_id)
        return
    accepted.end_attempt(session, build)
    materials.keep(session, build, accepted.result.materials)
    what_worked.remember(session, build, accepted.result.remedies)
    facts = accepted.facts
    taken = session.get(Wheel, facts.filename)
    if taken is not None and taken.sha256 == facts.sha256 and taken.removed_at is None:
        reason = f"{facts.filename} is there already, with the same bytes"
        builds.move(session, build, BuildState.UNNEEDED, reason=reason)
        return
    if taken is not None and damage.heals(taken, facts.sha256):
        damage.heal(taken, build, provenance_sha256=provenance_sha256)
        events.wheel_published(session, taken)
        builds.move(
            session, build, BuildState.PUBLISHED, reason=f"published {facts.filename} again, with its old bytes"
        )
        return
    if taken is not None:
        number = rebuilds.next_number(session, build)
        reason = f"the name {facts.filename} is taken by other bytes; built again with build number {number}"
        builds.move(session, build, BuildState.QUEUED, reason=reason, build_number=number)
        return
    earlier = _earlier(session, build, facts)
    compared = comparison if earlier is not None and comparison and comparison.filename == earlier.filename else None
    if earlier is not None and compared is not None and _is_repeat(session, build, earlier, compared):
        return
    row = _row(session, build, facts, provenance_sha256)
    row.runtime_packages = list(accepted.result.runtime_packages)
    row.portability = [verdict.to_json() for verdict in accepted.result.portability]
    session.add(row)
    session.flush()
    anatomies.keep(session, found)
    events.wheel_published(session, row)
    crash.point("wheel-row-added")
    builds.move(session, build, BuildState.PUBLISHED, reason=f"published {facts.filename}")
    repeats.want(session, build, node=accepted.node, wanted=repeat)


def _row(session: Session, build: Build, facts: WheelFacts, provenance_sha256: Sha256) -> Wheel:
    return Wheel(
        filename=facts.filename,
        project_id=build.project_id,
        build_id=build.id,
        version=build.version,
        tags=" ".join(sorted(map(str, facts.tags))),
        view=None if facts.portable else Platform.parse(build.platform).view,
        sha256=facts.sha256,
        size_bytes=facts.size_bytes,
        metadata_sha256=facts.metadata_sha256,
        provenance_sha256=provenance_sha256,
        requires_python=facts.requires_python,
        published_at=now(session),
        yanked=build.sdist.yanked if build.sdist else None,
    )


def _earlier(session: Session, build: Build, facts: WheelFacts) -> Wheel | None:
    """The newest published wheel of the same release with the same tags: what a rebuild is compared with."""
    candidates = session.scalars(
        select(Wheel)
        .where(Wheel.project_id == build.project_id, Wheel.version == build.version, Wheel.removed_at.is_(None))
        .order_by(Wheel.published_at.desc())
    )
    return next((wheel for wheel in candidates if _tags(wheel) == facts.tags), None)


def _tags(wheel: Wheel) -> frozenset[Tag]:
    return frozenset(Tag(*tag.split("-")) for tag in wheel.tags.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """How the wheel compares with the earlier one *filename*; differing: members with other bytes, () for the same."""

    filename: str
    differing: tuple[str, ...]


def _compare(database: Engine, store: Store, accepted: Accepted) -> _Comparison | None:
    """Compare with the earlier wheel, if there is one; outside of any transaction, since a large wheel takes long."""
    with transaction(database) as session:
        build = builds.held_by(session, accepted.lease, accepted.node)
        earlier = _earlier(session, build, accepted.facts) if build is not None else None
        if earlier is None or earlier.filename == accepted.facts.filename:
            return None
        number = earlier.build.build_number
    with tempfile.TemporaryDirectory(dir=accepted.wheel.parent) as folder:
        again = repack(accepted.wheel, Path(folder), epoch=_epoch(accepted.wheel), build_number=number)
        same = sha256_of(again) == earlier.sha256
        differing = [] if same else _differing(again, store.path(Sha256(earlier.sha256)))
    return _Comparison(filename=earlier.filename, differing=tuple(differing))


def _is_repeat(session: Session, build: Build, earlier: Wheel, comparison: _Comparison) -> bool:
    """Whether a rebuild gives the very bytes of the earlier wheel; either way the earlier one's page says so."""
    earlier.repeated = not comparison.differing
    if earlier.repeated:
        earlier.repeated_note = f"build {build.id} gave the same bytes"
        reason = f"gives the very bytes of {earlier.filename}: repeatable, so there is nothing new to publish"
        builds.move(session, build, BuildState.UNNEEDED, reason=reason)
        return True
    named = ", ".join(comparison.differing[:_MEMBERS_NAMED]) + (
        ", …" if len(comparison.differing) > _MEMBERS_NAMED else ""
    )
    earlier.repeated_note = f"build {build.id} gave other bytes in {named}"
    return False


def _differing(one: Path, other: Path) -> list[str]:
    """The members in which two wheels differ, RECORD (which only follows) left out."""
    if not other.exists():
        return ["a file that the store has lost"]
    with zipfile.ZipFile(one) as left, zipfile.ZipFile(other) as right:
        members = [{(item.filename, item.CRC, item.file_size) for item in side.infolist()} for side in (left, right)]
    names = {name for name, _, _ in members[0] ^ members[1] if not name.endswith(".dist-info/RECORD")}
    return sorted(names) or ["the archive itself"]


def _epoch(canonical: Path) -> int:
    """The one time that every member of a canonical wheel carries."""
    with zipfile.ZipFile(canonical) as archive:
        return calendar.timegm((*archive.infolist()[0].date_time, 0, 0, 0))
