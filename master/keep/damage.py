"""What happens to a wheel one of whose stored files is damaged or gone: never served, built again (R19).

The build keeps its number at first. If the very same bytes come out, the same name comes back with a new provenance;
if others do, the publish finds the name taken, and builds once more under the next number: no name changes its bytes.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from master import builds
from master.keep import named
from master.store import Store
from master.webhooks import events
from master.withdraw import blocked_by
from schema.causes import DAMAGED
from schema.db.models import Build, Wheel
from schema.db.session import now, transaction
from schema.names import Sha256
from schema.states import BuildState

log = logging.getLogger(__name__)

_SIDECARS = ("", ".metadata", ".provenance")


def withdraw(database: Engine, store: Store, site: Path, digest: Sha256, *, why: str) -> tuple[str, ...]:
    """Take a damaged or missing file out of the store, and what needs it off the index; give the wheels' names.

    The file goes first, so that the next rendering cannot offer it again; then the site's links to it, which are the
    same bytes; then the rows. A crash in between leaves a missing file, which the next look finds.
    """
    store.set_aside(digest)
    with transaction(database) as session:
        needing = named.wheels(session, [digest])
        for wheel in needing:
            for suffix in _SIDECARS:
                (site / "files" / f"{wheel.filename}{suffix}").unlink(missing_ok=True)
            _withdraw(session, wheel, f"{digest[:12]}… {why}")
    for wheel in needing:
        log.error("%s is withdrawn: its stored file %s %s", wheel.filename, digest, why)
    return tuple(wheel.filename for wheel in needing)


def _withdraw(session: Session, wheel: Wheel, why: str) -> None:
    wheel.removed_at, wheel.removed_because = now(session), f"{DAMAGED}{why}"
    builds.touch_page(session, wheel.project_id)
    events.wheel_withdrawn(session, wheel)
    build = wheel.build
    if build.state != BuildState.PUBLISHED:
        return
    builds.move(session, build, BuildState.WITHDRAWN, reason=f"{DAMAGED}{why}")
    if _can_be_built(build):
        reason = f"built again: a stored file of {wheel.filename} was damaged"
        builds.move(session, build, BuildState.QUEUED, reason=reason, pardoned_fence=build.fence, not_before=None)


def _can_be_built(build: Build) -> bool:
    return build.sdist is not None and build.sdist.gone_at is None and not blocked_by(build.project)


def heals(wheel: Wheel, sha256: Sha256) -> bool:
    """Whether a build that gave *sha256* brings this wheel back as it was before the damage."""
    return wheel.removed_at is not None and wheel.removed_because.startswith(DAMAGED) and wheel.sha256 == sha256


def heal(wheel: Wheel, build: Build, *, provenance_sha256: Sha256) -> None:
    """The tombstone goes; the provenance is the one of the build that made the bytes again."""
    wheel.removed_at, wheel.removed_because = None, ""
    wheel.provenance_sha256 = provenance_sha256
    wheel.build_id = build.id
