"""A wheel's page: its anatomy, as the master kept it, beside what the farm knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session, joinedload

from schema.db import repeats
from schema.db.models import Attempt, Build, Canary, Project, Repeat, Wheel, WheelAnatomy
from schema.states import AttemptOutcome
from schema.wheels.anatomy import FORMAT
from web.builds import materials


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelPage:
    """A wheel and its anatomy.

    found: ``Anatomy.to_json()``; None where the wheel was not examined yet
    runtime_packages: Debian packages that it needs where it is used, with the version that it was built with, or ""
    repeat: that its build is built once more, and what came of it; None for most
    """

    wheel: Wheel
    found: Mapping[str, Any] | None
    runtime_packages: Sequence[tuple[str, str]]
    repeat: Repeat | Canary | None


def wheel_page(session: Session, filename: str) -> WheelPage | None:
    """None if there was never such a wheel."""
    if "\0" in filename:  # which no name has, and PostgreSQL cannot be asked for
        return None
    wheel = session.scalar(
        select(Wheel)
        .options(joinedload(Wheel.project), joinedload(Wheel.build).joinedload(Build.project))
        .where(Wheel.filename == filename)
    )
    if wheel is None:
        return None
    kept = session.get(WheelAnatomy, filename)
    named = [str(name) for name in wheel.runtime_packages]
    versions = _debian_versions(session, wheel.build_id) if named else {}
    return WheelPage(
        wheel=wheel,
        found=kept.found if kept is not None and kept.format == FORMAT else None,
        runtime_packages=[(name, versions.get(name, "")) for name in named],
        repeat=repeats.of(session, wheel.build_id),
    )


def served(
    session: Session, *, limit: int, project: str = "", newest_first: bool = False, after: str = ""
) -> Sequence[Wheel]:
    """Wheels with their projects, by file name or the newest first.

    project: only of the one of that name; after: the file name to go on behind
    """
    wanted = select(Wheel).options(joinedload(Wheel.project)).where(Wheel.removed_at.is_(None)).limit(limit)
    if project:
        wanted = wanted.where(Wheel.project_id == session.scalar(select(Project.id).where(Project.name == project)))
    if not newest_first:
        return session.scalars(wanted.where(Wheel.filename > after).order_by(Wheel.filename)).all()
    if last := session.get(Wheel, after) if after else None:
        wanted = wanted.where(tuple_(Wheel.published_at, Wheel.filename) < (last.published_at, last.filename))
    return session.scalars(wanted.order_by(Wheel.published_at.desc(), Wheel.filename.desc())).all()


def _debian_versions(session: Session, build_id: int) -> dict[str, str]:
    """The Debian packages of the attempt that gave the wheel."""
    built = select(Attempt).where(Attempt.build_id == build_id, Attempt.outcome == AttemptOutcome.BUILT)
    attempt = session.scalar(built.order_by(Attempt.fence.desc()).limit(1))
    return {item.name: item.version for item in materials(attempt) if item.kind == "debian"} if attempt else {}
