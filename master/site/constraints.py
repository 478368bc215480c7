"""What is held back: projects whose newest version has no wheel on a platform while an older one has.

An installer prefers a newer sdist to an older wheel; ``name<=version`` in a constraints file keeps it at the wheel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version
from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager

from master.site.shown import is_offered
from schema.db.models import Build, Project, UpstreamFile, Wheel
from schema.platforms import Platform
from schema.printable import one_line
from schema.states import BuildState

# Wherever a build of these ended, an installer finds a wheel: ours or the upstream's.
_HAS_WHEEL = (BuildState.PUBLISHED, BuildState.UNNEEDED)
_REASON_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A project to keep at *newest_wheel*, because *version* (the newest that fits the platform) has no wheel.

    reason: one line
    """

    name: str
    newest_wheel: Version
    version: Version
    reason: str


def held_back(session: Session, platform: Platform) -> list[HeldBack]:
    """Everything held back on *platform*, sorted by name; a pre-release neither holds back nor is what to stay at."""
    newest: dict[int, Build] = {}
    for build in _without_wheel(session, platform):
        known = newest.get(build.project_id)
        if known is None or Version(known.version) < Version(build.version):
            newest[build.project_id] = build
    found = []
    for project_id, build in newest.items():
        wheel = max(_versions_with_wheel(session, project_id, platform), default=None)
        if wheel is not None and wheel < Version(build.version):
            # What a log or a person wrote must not become a constraint.
            reason = one_line(f"{build.state}: {build.reason}" if build.reason else build.state, limit=_REASON_LIMIT)
            found.append(
                HeldBack(name=build.project.name, newest_wheel=wheel, version=Version(build.version), reason=reason)
            )
    return sorted(found, key=lambda item: item.name)


def text(platform: Platform, held: Sequence[HeldBack]) -> bytes:
    """The constraints file; the same rows always give the same bytes."""
    lines = [f"# What is held back on {platform}: newer versions have no wheel there."]
    if not held:
        lines.append("# Nothing is.")
    for item in held:
        lines += [f"# {item.version} is {item.reason}", f"{item.name}<={item.newest_wheel.public}"]
    return "".join(f"{line}\n" for line in lines).encode()


def _without_wheel(session: Session, platform: Platform) -> list[Build]:
    """Builds without a wheel whose sdist an installer on *platform* would take instead."""
    builds = session.scalars(
        select(Build)
        .join(Build.project)
        .join(Build.sdist)
        .options(contains_eager(Build.project), contains_eager(Build.sdist))
        .where(
            Build.platform == str(platform),
            Build.state.not_in(_HAS_WHEEL),
            Project.status.not_in(("quarantined", "missing")),
            UpstreamFile.gone_at.is_(None),
            UpstreamFile.yanked.is_(None),
        )
    )
    return [
        build
        for build in builds
        if not Version(build.version).is_prerelease
        and build.sdist is not None
        and _fits(build.sdist.requires_python, platform)
    ]


def _versions_with_wheel(session: Session, project_id: int, platform: Platform) -> set[Version]:
    """Final versions of which an installer on *platform* finds a wheel, here or upstream."""
    ours = session.execute(
        select(Wheel.filename, Wheel.requires_python, Wheel.view)
        .join(Wheel.project)
        .join(Wheel.build)
        .outerjoin(Build.sdist)
        .where(Wheel.project_id == project_id, is_offered(), Wheel.yanked.is_(None))
    )
    upstream = session.execute(
        select(UpstreamFile.filename, UpstreamFile.requires_python).where(
            UpstreamFile.project_id == project_id,
            UpstreamFile.kind == "wheel",
            UpstreamFile.gone_at.is_(None),
            UpstreamFile.yanked.is_(None),
        )
    )
    names = [
        *(filename for filename, requires, view in ours if view in {None, platform.view} and _fits(requires, platform)),
        *(filename for filename, requires in upstream if _fits(requires, platform)),
    ]
    return set(_usable_versions(names, platform))


def _usable_versions(filenames: Iterable[str], platform: Platform) -> Iterable[Version]:
    for filename in filenames:
        try:
            _, version, _, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        if not version.is_prerelease and not tags.isdisjoint(platform.tags):
            yield version


def _fits(requires_python: str | None, platform: Platform) -> bool:
    """Installers ignore what they cannot read, so such a file fits."""
    try:
        return SpecifierSet(requires_python or "").contains(platform.python_full_version, prereleases=True)
    except InvalidSpecifier:
        return True
