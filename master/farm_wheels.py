"""The farm's own wheels for a build that cannot have them from the upstream, each named by its digest (T19)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version
from sqlalchemy import select
from sqlalchemy.orm import Session

from master import plan, wheel_metadata
from master.resolve import built
from master.store import Store
from schema.db.models import Build, Project, Wheel
from schema.errors import UpstreamError
from schema.jobs import MOST_WHEELS, FarmWheel
from schema.names import Sha256
from schema.platforms import Platform

log = logging.getLogger(__name__)


def wheels_for(session: Session, build: Build, *, store: Store, public_url: str) -> tuple[FarmWheel, ...]:
    """Published wheels of what *build* was found to need, and of what these need when they run; () for most builds.

    The node takes them only for names that the upstream has no usable wheel of.
    """
    platform = Platform.parse(build.platform)
    wanted = deque(Requirement(text) for text in build.needs)
    seen: set[str] = set()
    found: dict[str, FarmWheel] = {}
    while wanted and len(found) < MOST_WHEELS:
        requirement = wanted.popleft()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        wheel = _newest(session, requirement, platform)
        if wheel is not None:
            found[wheel.filename] = FarmWheel(
                filename=wheel.filename,
                url=f"{public_url}/files/{quote(wheel.filename)}",
                sha256=Sha256(wheel.sha256),
                size_bytes=wheel.size_bytes,
            )
            wanted.extend(_needed_by(wheel, requirement, platform, store))
    return tuple(found.values())


def _newest(session: Session, requirement: Requirement, platform: Platform) -> Wheel | None:
    """The newest one that fits and that an installer on the platform takes."""
    wheels = session.scalars(
        select(Wheel)
        .join(Project, Wheel.project_id == Project.id)
        .where(
            Project.name == canonicalize_name(requirement.name),
            Wheel.removed_at.is_(None),
            Wheel.yanked.is_(None),
        )
    )
    fitting = [
        wheel
        for wheel in wheels
        if requirement.specifier.contains(wheel.version, prereleases=True) and plan.serves(built(wheel), platform)
    ]
    return max(
        fitting, key=lambda wheel: (Version(wheel.version), parse_wheel_filename(wheel.filename)[2]), default=None
    )


def _needed_by(wheel: Wheel, requirement: Requirement, platform: Platform, store: Store) -> Sequence[Requirement]:
    try:
        metadata = store.path(Sha256(wheel.metadata_sha256)).read_bytes()
        found = wheel_metadata.needs(metadata, platform.marker_environment, extras=requirement.extras)
    except (OSError, UpstreamError) as err:
        log.warning("what %s needs cannot be read: %s", wheel.filename, err)
        return ()
    return found.requirements
