"""What a project's badge says: where its newest version has a wheel here. A few questions that the indexes answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from packaging.utils import NormalizedName
from sqlalchemy import select
from sqlalchemy.orm import Session

from schema.db.models import Build, Project, Wheel
from schema.db.why.explain import newest_first, serves
from schema.platforms import Platform
from schema.printable import one_line
from schema.states import OPEN_STATES, BuildState, FailureClass
from web.shown import word

_LOOKED_AT = 20  # versions, from the newest down
_LETTERS = 40  # of a version


class Tone(StrEnum):
    """Colours of the right half; white letters can be read on each (contrast of 5 to 1 or more)."""

    GOOD = "#2a7336"
    SOME = "#8a5a00"
    BUSY = "#1f5f99"
    BAD = "#b3261e"
    UNKNOWN = "#5f6368"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """message: the right half; title: the same as a sentence, for who does not see it."""

    message: str
    title: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class _Version:
    """What is there of one version. builds: platform → the newest."""

    text: str
    builds: dict[str, Build]
    wheels: Sequence[Wheel]

    def is_on(self, platform: Platform) -> bool:
        """Whether pip gets a wheel there: from the farm, or from the upstream."""
        build = self.builds.get(str(platform))
        if build is not None and build.state == BuildState.UNNEEDED:
            return True
        return any(wheel.yanked is None and serves(wheel, platform) for wheel in self.wheels)

    def comes_to(self, platform: Platform) -> bool:
        """Whether the farm has something to do for it there."""
        build = self.builds.get(str(platform))
        return build is not None and build.state in OPEN_STATES


def of_project(session: Session, name: NormalizedName, platforms: Sequence[Platform]) -> Said:
    """On how many of *platforms* the newest version has a wheel; where there is one only, which version has."""
    versions = _versions(session, name)
    if not versions:
        return Said(message="unknown", title=f"{name}: nobody asked this farm for it", tone=Tone.UNKNOWN)
    return _on_one(name, versions, platforms[0]) if len(platforms) == 1 else _on_all(name, versions[0], platforms)


def _on_all(name: str, newest: _Version, platforms: Sequence[Platform]) -> Said:
    there = sum(newest.is_on(platform) for platform in platforms)
    to_come = sum(newest.comes_to(platform) and not newest.is_on(platform) for platform in platforms)
    if there == len(platforms):
        tone = Tone.GOOD
    elif to_come:
        tone = Tone.BUSY
    else:
        tone = Tone.SOME if there else Tone.BAD
    message = f"{there} of {len(platforms)} wheels"
    coming = f", {to_come} to come" if to_come else ""
    return Said(message=message, title=f"{name} {newest.text}: {message}{coming}", tone=tone)


def _on_one(name: str, versions: Sequence[_Version], platform: Platform) -> Said:
    newest = versions[0]
    usable = next((version for version in versions if version.is_on(platform)), None)
    where = f"on {platform}"
    if usable is newest:
        return Said(message=newest.text, title=f"{name} {newest.text} has a wheel {where}", tone=Tone.GOOD)
    why, tone = _why_not(newest, platform)
    if usable is not None:
        title = f"{name} {usable.text} has a wheel {where}, {newest.text} has none: {why}"
        return Said(message=f"{usable.text}, not {newest.text}", title=title, tone=Tone.SOME)
    return Said(message=f"no wheel: {why}", title=f"{name} {newest.text} has no wheel {where}: {why}", tone=tone)


def _why_not(version: _Version, platform: Platform) -> tuple[str, Tone]:
    build = version.builds.get(str(platform))
    if build is None:
        return "not asked for", Tone.UNKNOWN
    if build.state == BuildState.FAILED:
        failure_class = build.reason.partition(":")[0]  # as ``master.builds`` writes it
        return (f"failed ({failure_class})" if failure_class in list(FailureClass) else "failed"), Tone.BAD
    return word(build.state), Tone.BUSY if build.state in OPEN_STATES else Tone.BAD


def _versions(session: Session, name: NormalizedName) -> list[_Version]:
    """The newest ones that the farm has, or was asked for."""
    project = session.scalar(select(Project.id).where(Project.name == name))
    if project is None:
        return []
    ours = Build.project_id == project, Build.build_number >= 0  # those below only repeat another
    every = session.scalars(select(Build.version).where(*ours).distinct())
    newest = newest_first(every)[:_LOOKED_AT]
    builds = session.scalars(select(Build).where(*ours, Build.version.in_(newest)).order_by(Build.build_number)).all()
    here = Wheel.project_id == project, Wheel.version.in_(newest), Wheel.removed_at.is_(None)
    wheels = session.scalars(select(Wheel).where(*here)).all()
    return [
        _Version(
            one_line(version, limit=_LETTERS),
            {build.platform: build for build in builds if build.version == version},
            [wheel for wheel in wheels if wheel.version == version],
        )
        for version in newest
    ]
