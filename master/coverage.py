"""How much of what somebody wants to install can be had on a platform without compiling; the rest with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import select
from sqlalchemy.orm import Session

from master.offers import Offers
from schema.db.models import Project
from schema.db.why import asked
from schema.db.why.answers import Answer
from schema.db.why.explain import why
from schema.db.why.reasons import Reason
from schema.db.why.surroundings import Rules
from schema.platforms import Platform
from schema.printable import one_line
from schema.settings import Settings


class Cover(StrEnum):
    """How a requirement stands."""

    HAVE = "have"
    UPSTREAM = "upstream"
    QUEUED = "queued"
    BUILDING = "building"
    CANNOT = "cannot"
    NOT_WATCHED = "not-watched"
    UNKNOWN = "unknown"


COVERED = (Cover.HAVE, Cover.UPSTREAM)
_COMING = (Cover.QUEUED, Cover.BUILDING)

# What the states of an answer to "why?" mean here. What is missing from both is for the farm to decide yet.
_COVERS = {
    "waiting": Cover.QUEUED,
    "queued": Cover.QUEUED,
    "leased": Cover.BUILDING,
    "collecting": Cover.BUILDING,
    "failed": Cover.CANNOT,
    "held": Cover.CANNOT,
    "poisoned": Cover.CANNOT,
    "withdrawn": Cover.CANNOT,
    "published": Cover.CANNOT,  # and yet not offered: hidden, removed
    "missing": Cover.CANNOT,
    "quarantined": Cover.CANNOT,
    "unresolved": Cover.CANNOT,
    "unrequested": Cover.NOT_WATCHED,
}
_ABOUT_ALL = frozenset({"missing", "quarantined", "upstream-error"})
_NOTES = frozenset({"archived", "deprecated"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One requirement.

    requirement: with extras and range, without marker; version: what pip would choose, "" where none fits
    file: the wheel that is there, or ""; sentence: on one line, safe to print; reason: None where a wheel is there
    older: where none is there, the newest version of the range that has one, or ""
    """

    requirement: str
    version: str
    status: Cover
    sentence: str
    file: str = ""
    reason: Reason | None = None
    build_id: int | None = None
    older: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self)


def coverage(
    session: Session, wanted: Iterable[Requirement], *, platform: Platform, settings: Settings
) -> list[Covered]:
    """How each of *wanted* stands on *platform*, in their order; see ``wishes.on_platform`` for how they are read."""
    return [_covered(session, item, platform, settings) for item in wanted]


def is_enough(found: Iterable[Covered]) -> bool:
    """Whether every one is there or being made."""
    return all(item.status in COVERED or item.status in _COMING for item in found)


def summary(found: Sequence[Covered]) -> str:
    """Such as ``12 of 14 covered: 9 have, 3 upstream; 1 queued, 1 cannot``."""
    counts = Counter(item.status for item in found)
    there, rest = (
        ", ".join(f"{counts[cover]} {cover}" for cover in Cover if counts[cover] and (cover in COVERED) is covered)
        for covered in (True, False)
    )
    total = sum(counts[cover] for cover in COVERED)
    return f"{total} of {len(found)} covered{f': {there}' if there else ''}{f'; {rest}' if rest else ''}"


def _covered(session: Session, wanted: Requirement, platform: Platform, settings: Settings) -> Covered:
    project = session.scalar(select(Project).where(Project.name == wanted.name))
    if project is None:
        return _told(wanted, None, asked.unrequested(str(wanted), str(platform)))
    offers = Offers.of(session, project, platform, public_url=settings.public_url)
    choice = offers.choose(wanted.specifier)
    if choice.version is None:
        return _told(wanted, None, _why_none(session, project, wanted, offers, choice.reason, settings))
    own = offers.own_wheel(choice.version)
    wheel = own or offers.upstream_wheel(choice.version)
    if wheel is None:
        told = _told(wanted, choice.version, _why_not(session, project, choice.version, platform, settings))
        return replace(told, older=next((str(file.version) for file in offers.wheels(wanted.specifier)), ""))
    return Covered(
        requirement=str(wanted),
        version=str(choice.version),
        status=Cover.HAVE if own else Cover.UPSTREAM,
        sentence=one_line("; ".join(filter(None, (wheel.filename, choice.reason)))),
        file=wheel.filename,
    )


def _why_not(session: Session, project: Project, version: Version, platform: Platform, settings: Settings) -> Answer:
    """Why there is no wheel of *version*: its build says so, where there is one."""
    answers = why(session, NormalizedName(project.name), rules=Rules.of(settings), version=version, platform=platform)
    own = (item for item in answers if item.version == str(version))
    return next(own, None) or next((item for item in answers if item.state not in _NOTES), answers[0])


def _why_none(  # noqa: PLR0917 - private, and called once
    session: Session, project: Project, wanted: Requirement, offers: Offers, problem: str, settings: Settings
) -> Answer:
    """Why no version fits: the project as a whole is not to be had, was never read, or has no such version."""
    answers = why(session, NormalizedName(project.name), rules=Rules.of(settings), platform=offers.platform)
    if project.checked_at is None or answers[0].state in _ABOUT_ALL:
        return answers[0]
    return asked.impossible(
        str(wanted),
        str(offers.platform),
        problem=problem,
        specifier=str(wanted.specifier),
        versions=[str(file.version) for file in offers.upstream],
    )


def _told(wanted: Requirement, version: Version | None, answer: Answer) -> Covered:
    status = Cover.NOT_WATCHED if answer.reason is Reason.UNASKED else _COVERS.get(answer.state, Cover.UNKNOWN)
    return Covered(
        requirement=str(wanted),
        version=str(version or ""),
        status=status,
        sentence=answer.sentence,
        reason=answer.reason,
        build_id=answer.build_id,
    )
