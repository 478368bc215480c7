"""Somebody wants a project: people, lists, and the wheels that need it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from master import undecided, urgency
from master.requirements_file import read_requirements
from schema import names
from schema.db.models import Project, Request
from schema.db.session import now as clock
from schema.errors import UsageError
from schema.platforms import Platform
from schema.states import BuildPolicy

__all__ = ["ALL_OF_UPSTREAM", "add", "extras_of", "follows", "read_requirements", "stronger"]

log = logging.getLogger(__name__)

Origin = Literal["person", "list", "demand", "scope", "dependency"]

# The ``because`` of a request that is there only since the farm wants everything.
ALL_OF_UPSTREAM = "watch.scope"

_SPECIFIER_LIMIT = 255


def add(
    session: Session,
    requirement: Requirement,
    *,
    platforms: Sequence[Platform] = (),
    farm_platforms: Sequence[Platform] = (),
    policy: BuildPolicy = BuildPolicy.MISSING,
    dependencies: BuildPolicy = BuildPolicy.MISSING,
    origin: Origin = "person",
    because: str = "",
    every_release: bool = False,
    now: datetime | None = None,
) -> list[Request]:
    """Ask for *requirement*; asking again changes nothing, except that the stronger wish and further extras stay.

    platforms: () for all that the farm builds for, now and later
    farm_platforms: what it builds for now; a marker is evaluated for them where *platforms* names none
    dependencies: the policy for what the wheel needs in turn
    because: why a dependency is wanted, such as ``paramiko 4.0.0 needs it``; the name of a list
    every_release: not only the newest version that fits, but each
    now: None for the database's clock

    Raise UsageError for what cannot be asked. An empty list means that the marker excludes every platform.
    """
    name, specifier = _checked(requirement)
    wanted = _platforms(requirement, platforms, farm_platforms)
    if not wanted:
        return []
    now = now or clock(session)
    project = _project(session, name, title=requirement.name, now=now)
    _have_looked_at(project, origin, now)
    return [
        _request(
            session,
            project,
            Request(
                project_id=project.id,
                specifier=specifier,
                platform=platform,
                extras=_joined(requirement.extras),
                policy=policy,
                dependencies=dependencies,
                origin=origin,
                because=because,
                every_release=every_release,
                created_at=now,
            ),
        )
        for platform in wanted
    ]


def stronger(*policies: str) -> BuildPolicy:
    """``always``, if any of them is."""
    return BuildPolicy.ALWAYS if BuildPolicy.ALWAYS in policies else BuildPolicy.MISSING


def follows(request: Request) -> bool:
    """Whether what its wheels need is to be asked for, too.

    Not where the farm wants everything anyway: it would be one more row for each edge of the upstream's graph.
    """
    return (request.origin, request.because) != ("scope", ALL_OF_UPSTREAM)


def extras_of(request: Request) -> frozenset[str]:
    """The extras that a request asks for."""
    return frozenset(request.extras.split(",")) - {""}


def _checked(requirement: Requirement) -> tuple[NormalizedName, str]:
    name, specifier = names.project_name(requirement.name), str(requirement.specifier)
    if requirement.url:
        raise UsageError(f"{name}: a requirement by URL cannot be built", advice="the farm builds what the index has")
    if len(specifier) > _SPECIFIER_LIMIT or len(_joined(requirement.extras)) > _SPECIFIER_LIMIT:
        raise UsageError(f"{name}: a range of versions or list of extras of more than {_SPECIFIER_LIMIT} characters")
    return name, specifier


def _have_looked_at(project: Project, origin: Origin, now: datetime) -> None:
    """A person does not want to wait for the next look, and nobody for the first one."""
    if origin == "person":
        project.check_at = min(project.check_at, now - urgency.PERSON)
    elif project.checked_at is None:
        project.check_at = min(project.check_at, now - urgency.NEWS)


def _platforms(
    requirement: Requirement, platforms: Sequence[Platform], farm_platforms: Sequence[Platform]
) -> list[str]:
    if requirement.marker is None:
        return [str(item) for item in platforms] or [""]
    candidates = platforms or farm_platforms
    if not candidates:
        raise UsageError(f"{requirement.name}: the marker {str(requirement.marker)!r} needs platforms to look at")
    return [str(item) for item in candidates if requirement.marker.evaluate(dict(item.marker_environment))]


def _project(session: Session, name: NormalizedName, *, title: str, now: datetime) -> Project:
    """The project's row; a new one is looked at as soon as possible."""
    # On PostgreSQL: until the transaction ends nobody can forget a project that is being asked for.
    wanted = select(Project).where(Project.name == name).with_for_update(read=True, key_share=True)
    project = session.scalar(wanted)
    if project is None:
        _added(session, Project(name=name, title=title, check_at=now))
        project = session.scalars(wanted).one()
    return project


def _request(session: Session, project: Project, new: Request) -> Request:
    same = select(Request).where(
        Request.project_id == project.id,
        Request.specifier == new.specifier,
        Request.platform == new.platform,
        Request.because == new.because,
    )
    found = session.scalar(same)
    if found is None:
        if _added(session, new):
            undecided.mark(session, project.id)
            log.info("%s%s is wanted%s", project.name, new.specifier, f": {new.because}" if new.because else "")
            return new
        found = session.scalars(same).one()
    if _merged(found, new):
        undecided.mark(session, project.id)
        # Only now nobody else changes or resolves it: it may be another than it was read.
        session.refresh(found)
        changed = update(Request).where(Request.id == found.id).values(resolved_at=None, **_merged(found, new))
        session.execute(changed.execution_options(synchronize_session="fetch"))
    return found


def _merged(found: Request, new: Request) -> dict[str, str | bool]:
    """What *found* must become in order to want what *new* wants, too."""
    merged: dict[str, str | bool] = {
        "policy": stronger(found.policy, new.policy),
        "dependencies": stronger(found.dependencies, new.dependencies),
        "extras": _joined(extras_of(found) | extras_of(new)),
        "every_release": found.every_release or new.every_release,
    }
    return {key: value for key, value in merged.items() if getattr(found, key) != value}


def _added(session: Session, row: Project | Request) -> bool:
    """Whether the row is in now; False if somebody else was faster with the same one."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True


def _joined(extras: Iterable[str]) -> str:
    return ",".join(sorted(names.project_name(item) for item in extras))
