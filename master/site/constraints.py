"""What is held back: projects whose newest version has no wheel on a platform while an older one has.

An installer prefers a newer sdist to an older wheel; ``name<=version`` in a constraints file keeps it at the wheel.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version
from sqlalchemy import select
from sqlalchemy.orm import Session

from master.batches import batches
from master.site.shown import is_offered
from schema.db.models import Build, Project, UpstreamFile, Wheel
from schema.platforms import Platform
from schema.printable import one_line
from schema.states import BuildState

# Wherever a build of these ended, an installer finds a wheel: ours or the upstream's.
_HAS_WHEEL = (BuildState.PUBLISHED, BuildState.UNNEEDED)
_REASON_LIMIT = 200
# Projects in one query, and rows that are read at once.
_BATCH, _AT_ONCE = 500, 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A project to keep at *newest_wheel*, because *version* (the newest that fits the platform) has no wheel.

    reason: one line
    """

    name: str
    newest_wheel: Version
    version: Version
    reason: str


def held_back(session: Session, platform: Platform, projects: Collection[int] | None = None) -> list[HeldBack]:
    """Everything held back on *platform*, sorted by name; a pre-release neither holds back nor is what to stay at.

    projects: ids of those that are asked about; None for all, which takes as long as there are builds without a wheel
    """
    newest = _newest_without_wheel(session, platform, projects)
    found = []
    for batch in batches(sorted(newest), _BATCH):
        for project_id, wheel in _newest_with_wheel(session, batch, platform).items():
            item = newest[project_id]
            if wheel < item.version:
                # What a log or a person wrote must not become a constraint.
                reason = one_line(f"{item.state}: {item.reason}" if item.reason else item.state, limit=_REASON_LIMIT)
                found.append(HeldBack(name=item.name, newest_wheel=wheel, version=item.version, reason=reason))
    return sorted(found, key=lambda item: item.name)


def text(platform: Platform, held: Sequence[HeldBack]) -> bytes:
    """The constraints file; the same rows always give the same bytes."""
    lines = [f"# What is held back on {platform}: newer versions have no wheel there."]
    if not held:
        lines.append("# Nothing is.")
    for item in held:
        lines += [f"# {item.version} is {item.reason}", f"{item.name}<={item.newest_wheel.public}"]
    return "".join(f"{line}\n" for line in lines).encode()


class _Lacking(NamedTuple):
    """A version without a wheel, and how its build stands."""

    name: str
    version: Version
    state: str
    reason: str


def _newest_without_wheel(
    session: Session, platform: Platform, projects: Collection[int] | None
) -> dict[int, _Lacking]:
    """Of each project the newest version whose sdist an installer on *platform* would take for want of a wheel."""
    wanted = (
        select(Build.project_id, Project.name, Build.version, Build.state, Build.reason, UpstreamFile.requires_python)
        .join(Build.project)
        .join(Build.sdist)
        .where(
            Build.platform == str(platform),
            Build.state.not_in(_HAS_WHEEL),
            Project.status.not_in(("quarantined", "missing")),
            UpstreamFile.gone_at.is_(None),
            UpstreamFile.yanked.is_(None),
        )
    )
    if projects is not None:
        wanted = wanted.where(Build.project_id.in_(projects))
    newest: dict[int, _Lacking] = {}
    for row in session.execute(wanted.execution_options(yield_per=_AT_ONCE)):
        version = Version(row.version)
        known = newest.get(row.project_id)
        is_newer = known is None or known.version < version
        if is_newer and not version.is_prerelease and _fits(row.requires_python, platform):
            newest[row.project_id] = _Lacking(row.name, version, row.state, row.reason)
    return newest


def _newest_with_wheel(session: Session, projects: Collection[int], platform: Platform) -> dict[int, Version]:
    """Of each project the newest final version of which an installer on *platform* finds a wheel, here or upstream."""
    ours = session.execute(
        select(Wheel.project_id, Wheel.filename, Wheel.requires_python, Wheel.view)
        .join(Wheel.project)
        .join(Wheel.build)
        .outerjoin(Build.sdist)
        .where(Wheel.project_id.in_(projects), is_offered(), Wheel.yanked.is_(None))
    )
    upstream = session.execute(
        select(UpstreamFile.project_id, UpstreamFile.filename, UpstreamFile.requires_python).where(
            UpstreamFile.project_id.in_(projects),
            UpstreamFile.kind == "wheel",
            UpstreamFile.gone_at.is_(None),
            UpstreamFile.yanked.is_(None),
        )
    )
    files = [
        *((row.project_id, row.filename, row.requires_python) for row in ours if row.view in {None, platform.view}),
        *upstream,
    ]
    newest: dict[int, Version] = {}
    for project_id, filename, requires_python in files:
        version = _usable_version(filename, platform) if _fits(requires_python, platform) else None
        if version is not None and (project_id not in newest or newest[project_id] < version):
            newest[project_id] = version
    return newest


def _usable_version(filename: str, platform: Platform) -> Version | None:
    """That of a final release's wheel that is for *platform*; else None."""
    try:
        _, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    return None if version.is_prerelease or tags.isdisjoint(platform.tags) else version


def _fits(requires_python: str | None, platform: Platform) -> bool:
    """Installers ignore what they cannot read, so such a file fits."""
    try:
        return SpecifierSet(requires_python or "").contains(platform.python_full_version, prereleases=True)
    except InvalidSpecifier:
        return True
