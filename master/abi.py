"""Wheels that were compiled against another project's wheel, such as numpy's, are built again for its next series.

A series is major and minor version. The master looks at the newest release of each project of ``plan.abi`` that the
farm has published on each platform. For a series that is new, the builds made with an older one are gone through by a
mark ``abi NAME PLATFORM``: queued with the next build number where ``plan.abi_rebuild`` says so, else counted.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import marks, materials, rebuilds
from schema.db.models import Build, Mark, Project, UpstreamFile
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.errors import UsageError
from schema.settings import Settings
from schema.states import BuildState

log = logging.getLogger(__name__)

PREFIX = "abi "
BATCH = 200

_TURN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The release for whose sake others are built again; series: only what was built with an older series."""

    name: NormalizedName
    version: Version
    series: bool = True

    def is_older(self, text: str) -> bool:
        """Whether the version *text*, which a build was made with, is old enough."""
        try:
            used = Version(text)
        except InvalidVersion:
            return False
        return _series(used) < _series(self.version) if self.series else used < self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A published build that was made with an older release."""

    build: Build
    used: str


class Walks:
    """``turn`` looks for new series, and goes on with the walks for about a second."""

    def __init__(self, settings: Settings) -> None:
        self._names = sorted({canonicalize_name(name) for name in settings.plan.abi})
        self._rebuild = settings.plan.abi_rebuild
        self._platforms = sorted(map(str, settings.farm.platforms))

    def turn(self, database: Engine) -> int:
        """Count the builds that were found."""
        ends, found = time.monotonic() + _TURN_S, 0
        for name in self._names:
            for platform in self._platforms:
                more = True
                while more and time.monotonic() < ends:
                    with transaction(database) as session:
                        more, batch = self._step(session, name, platform)
                    found += batch
        return found

    def _step(self, session: Session, name: NormalizedName, platform: str) -> tuple[bool, int]:
        """Whether the walk goes on, and the builds that this step found."""
        version = _newest(session, name, platform)
        if version is None:
            return False, 0
        mark, series = session.get(Mark, f"{PREFIX}{name} {platform}"), _series(version)
        known = _series(Version(mark.etag)) if mark is not None and mark.etag else None
        if mark is not None and known is not None and (known > series or (known == series and mark.finished_at)):
            return False, 0
        mark = marks.at(session, f"{PREFIX}{name} {platform}")
        if known != series:
            marks.begin(mark, fingerprint=str(version), total=0, note="", now=clock(session))
        release = Release(name=name, version=version)
        found, after = dependents(session, release, after=int(mark.cursor or 0), platform=platform)
        if self._rebuild:
            for item in found:
                again(session, item, release)
        mark.done += len(found)
        mark.note = self._note(release, platform, mark.done)
        mark.cursor, mark.finished_at = str(after or ""), None if after else clock(session)
        return after != 0, len(found)

    def _note(self, release: Release, platform: str, found: int) -> str:
        if not found:
            return ""
        told = f"{found} builds on {platform} were made with an older {release.name} than {release.version}"
        if self._rebuild:
            return f"{told}: they are built again"
        return f"{told}; wheelfarm rebuild --because-of {release.name}=={release.version} builds them again"


def dependents(
    session: Session, release: Release, *, after: int = 0, platform: str | None = None, limit: int = BATCH
) -> tuple[list[Dependent], int]:
    """Builds to be built again, and where the next call goes on (0: nowhere); *limit* is of builds made with it."""
    rows = materials.built_with(session, release.name, after=after, limit=limit)
    older = {build_id: used for build_id, used in rows if release.is_older(used)}
    found = [
        Dependent(build=build, used=older[build.id])
        for build in materials.newest_published(session, older)
        if platform in {None, build.platform}
    ]
    return found, rows[-1][0] if len(rows) == limit else 0


def again(session: Session, item: Dependent, release: Release, *, who: str = "") -> Build:
    """Queue the build with the next number, behind what is new; *who* asked for it leaves a row of audit."""
    return rebuilds.again(
        session,
        item.build,
        origin="scope",
        reason=f"{release.name} {release.version} was published; built against {item.used}",
        who=who,
        because=f"because of {release.name} {release.version}",
    )


def known(session: Session, release: Release) -> None:
    """Raise UsageError for a release that neither the farm nor, as it last looked, the upstream has."""
    of_project = select(Project.id).where(Project.name == release.name).scalar_subquery()
    for table in (Build, UpstreamFile):
        there = select(table.id).where(table.project_id == of_project, table.version == str(release.version)).limit(1)
        if session.scalar(there) is not None:
            return
    raise UsageError(
        f"the farm knows of no {release.name} {release.version}",
        advice=f"wheelfarm why {release.name} tells what it has",
    )


def settle(session: Session, name: NormalizedName, platform: str | None) -> None:
    """A person had them built again: there is nothing left to tell."""
    its = Mark.name.startswith(f"{PREFIX}{name} ") if platform is None else Mark.name == f"{PREFIX}{name} {platform}"
    for mark in session.scalars(select(Mark).where(its)):
        mark.note, mark.changed_at = "", clock(session)


def notes(session: Session) -> list[str]:
    """What the walks found, for people."""
    found = session.scalars(select(Mark.note).where(Mark.name.startswith(PREFIX), Mark.note != "").order_by(Mark.name))
    return list(found)


def _newest(session: Session, name: str, platform: str) -> Version | None:
    """The newest release, no pre-release, that the farm has published on the platform."""
    versions = session.scalars(
        select(Build.version)
        .join(Project, Build.project_id == Project.id)
        .where(Project.name == name, Build.platform == platform, Build.state == BuildState.PUBLISHED)
    )
    return max((found for text in versions if not (found := Version(text)).is_prerelease), default=None)


def _series(version: Version) -> tuple[int, int, int]:
    return version.epoch, version.major, version.minor
