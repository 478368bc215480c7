"""The builds that a person names: by number, by project, by release, on all platforms or on one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from master import builds
from schema.db.models import Build, Project
from schema.errors import UsageError
from schema.names import Release
from schema.platforms import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Builds that a person names.

    one: a build's number, or a project, or one of its versions; platform: only there, None for everywhere
    """

    one: int | Release
    platform: Platform | None = None

    def __str__(self) -> str:
        """As a person would write it."""
        if isinstance(self.one, int):
            return f"build {self.one}"
        name, version = self.one
        return f"{name}{f'=={version}' if version else ''}{f' for {self.platform}' if self.platform else ''}"


def chosen(session: Session, which: Which) -> list[Build]:
    """The builds that *which* names, kept until the transaction ends; raise UsageError where there is none."""
    query = select(Build).order_by(Build.id)
    if isinstance(which.one, int):
        query = query.where(Build.id == which.one)
    else:
        name, version = which.one
        query = query.join(Build.project).where(Project.name == name)
        if version is not None:
            query = query.where(Build.version == str(version))
    if which.platform is not None:
        query = query.where(Build.platform == str(which.platform))
    found = list(session.scalars(builds.locked(query)))
    if not found:
        missing = f"there is no {which}" if isinstance(which.one, int) else f"the farm has no build of {which}"
        raise UsageError(missing, advice="wheelfarm builds lists them")
    return found


def fitting(
    session: Session,
    which: Which,
    fits: Callable[[Build], bool],
    *,
    doing: str,
    advice: Callable[[Build], str | None],
) -> list[Build]:
    """Those of the named builds that this can be done to; raise UsageError, which tells of one, if to none."""
    found = chosen(session, which)
    fit = [build for build in found if fits(build)]
    if not fit:
        first = found[0]
        number = "" if isinstance(which.one, int) else f" (build {first.id})"
        raise UsageError(f"there is nothing to {doing}: {which}{number} is {first.state}", advice=advice(first))
    return fit
