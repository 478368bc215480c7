"""A project's page: which version is there on which platform, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from schema.db.models import Project, UpstreamFile, Wheel
from schema.db.models import Request as Wish
from schema.db.why.answers import Answer
from schema.db.why.explain import newest_first, serves, why
from schema.db.why.surroundings import Rules
from schema.errors import UnknownPlatformError
from schema.platforms import Platform
from schema.states import BuildState

ROWS = 60
_WISHES = 20
_REQUIREMENTS = 100
_METADATA_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One version on one platform. answer, wheel: None where there is none."""

    platform: str
    answer: Answer | None = None
    wheel: Wheel | None = None

    @property
    def state(self) -> str:
        """The build's state; ``served`` where a wheel of another build fits; "" where nobody asked."""
        if self.answer is not None and not (self.answer.state == BuildState.UNNEEDED and self.wheel):
            return self.answer.state
        return "served" if self.wheel is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One version. yanked: upstream's reason, or None."""

    version: str
    cells: Sequence[Cell]
    yanked: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """On *platform* the newest wheel is of *usable*, although *wanted* is newer."""

    platform: str
    usable: str
    wanted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A requirement of the newest wheel. name: normalised, for a link; "" if the text is no requirement."""

    text: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectPage:
    """Everything that the page shows.

    notes: answers about the project, or about a platform as a whole
    hidden: how many older versions are left out; unasked: upstream's versions that nobody asked for
    """

    project: Project
    platforms: Sequence[str]
    rows: Sequence[Row]
    hidden: int
    notes: Sequence[Answer]
    held_back: Sequence[HeldBack]
    wishes: Sequence[Wish]
    needs: Sequence[Need]
    requires_python: str
    unasked: Sequence[str]
    files: int


def project_page(
    session: Session, name: NormalizedName, *, farm: Sequence[Platform], files: Path, rules: Rules, limit: int = ROWS
) -> ProjectPage | None:
    """None if the farm does not know the project.

    files: the folder where the site keeps wheels and their METADATA; limit: versions shown, 0 for all
    """
    project = session.scalar(select(Project).where(Project.name == name))
    if project is None:
        return None
    answers = why(session, name, platforms=farm, rules=rules)
    own = (
        select(Wheel).options(joinedload(Wheel.build)).where(Wheel.project_id == project.id, Wheel.removed_at.is_(None))
    )
    wheels = session.scalars(own.order_by(Wheel.published_at.desc())).all()
    upstream = session.execute(
        select(UpstreamFile.version, UpstreamFile.yanked).where(
            UpstreamFile.project_id == project.id, UpstreamFile.kind == "sdist", UpstreamFile.gone_at.is_(None)
        )
    ).all()
    wishes = session.scalars(select(Wish).where(Wish.project_id == project.id).order_by(Wish.id.desc()).limit(_WISHES))
    platforms = sorted({item.platform for item in answers if item.platform} | {str(item) for item in farm})
    versions = newest_first([item.version for item in answers if item.version] + [item.version for item in wheels])
    rows = _rows(
        versions, platforms, answers=answers, wheels=wheels, yanked={row.version: row.yanked for row in upstream}
    )
    place = {version: number for number, version in enumerate(versions)}
    newest = min(wheels, key=lambda wheel: place[wheel.version], default=None)
    return ProjectPage(
        project=project,
        platforms=platforms,
        rows=rows[:limit] if limit else rows,
        hidden=max(len(rows) - limit, 0) if limit else 0,
        notes=[item for item in answers if not item.version],
        held_back=_held_back(rows, platforms),
        wishes=wishes.all(),
        needs=_needs(files, newest.filename) if newest else [],
        requires_python=(newest.requires_python or "") if newest else "",
        unasked=[version for version in newest_first(version for version, _ in upstream) if version not in place],
        files=len(wheels),
    )


def _rows(
    versions: Iterable[str],
    platforms: Sequence[str],
    *,
    answers: Iterable[Answer],
    wheels: Iterable[Wheel],
    yanked: dict[str, str | None],
) -> list[Row]:
    of_version: dict[str, list[Wheel]] = {}
    for wheel in wheels:
        of_version.setdefault(wheel.version, []).append(wheel)
    by_place = {(item.version, item.platform): item for item in answers if item.version and item.state != "served"}
    parsed = {name: _parsed(name) for name in platforms}
    return [
        Row(
            version=version,
            yanked=yanked.get(version),
            cells=[
                Cell(
                    platform=name,
                    answer=by_place.get((version, name)),
                    wheel=_wheel_for(name, parsed[name], of_version.get(version, [])),
                )
                for name in platforms
            ],
        )
        for version in versions
    ]


def _wheel_for(name: str, platform: Platform | None, wheels: Sequence[Wheel]) -> Wheel | None:
    """The wheel built for the platform, the newest first; else one of another platform's that fits."""
    own = next((wheel for wheel in wheels if wheel.build.platform == name), None)
    if own is not None or platform is None:
        return own
    return next((wheel for wheel in wheels if serves(wheel, platform)), None)


def _held_back(rows: Sequence[Row], platforms: Sequence[str]) -> list[HeldBack]:
    """Where an older version has a wheel and the newest one that was tried has none, and cannot get it by itself."""
    found = []
    for index, platform in enumerate(platforms):
        column = [(row.version, row.cells[index]) for row in rows if row.cells[index].state not in {"", "withdrawn"}]
        usable = next((version for version, cell in column if _is_usable(cell)), "")
        if column and usable and column[0][0] != usable:
            found.append(HeldBack(platform=platform, usable=usable, wanted=column[0][0]))
    return found


def _is_usable(cell: Cell) -> bool:
    if cell.wheel is not None:
        return cell.wheel.yanked is None
    return cell.state == BuildState.UNNEEDED


def _needs(folder: Path, filename: str) -> list[Need]:
    """The ``Requires-Dist`` lines of a wheel that the farm serves; nothing if its METADATA is not there."""
    metadata = folder / f"{filename}.metadata"
    if metadata.parent != folder:
        return []
    try:
        with metadata.open(encoding="utf-8", errors="replace") as file:
            headers = HeaderParser().parsestr(file.read(_METADATA_BYTES), headersonly=True)
    except OSError:
        return []
    return [_need(str(line)) for line in headers.get_all("Requires-Dist", [])[:_REQUIREMENTS]]


def _need(line: str) -> Need:
    text = " ".join(line.split())
    try:
        return Need(text=text, name=canonicalize_name(Requirement(text).name))
    except InvalidRequirement:
        return Need(text=text, name="")


def _parsed(platform: str) -> Platform | None:
    try:
        return Platform.parse(platform)
    except UnknownPlatformError:
        return None
