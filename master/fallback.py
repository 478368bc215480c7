"""Another version instead: where a build failed for good, and a rule of people's says which one to build."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy.orm import Session

from master import requests
from schema import recipe_files
from schema.causes import INSTEAD
from schema.db.models import Build
from schema.errors import SettingsError, UsageError
from schema.platforms import Platform
from schema.printable import one_line
from schema.recipes import Failed, Rule, applicable
from schema.states import BuildPolicy, BuildState

log = logging.getLogger(__name__)

_MOST_REASON = 2000


def follow(session: Session, build: Build, failure: Failed, *, recipe_folders: Sequence[Path], today: date) -> None:
    """Ask for the version that a rule names for this failure of *build*, which has just ended; nothing where none does.

    The build's reason tells it from then on; its own state stays. The other version is a build like any other.
    """
    rule = _rule(build, failure, recipe_folders, today) if build.state == BuildState.FAILED else None
    if rule is None:
        return
    try:
        requests.add(
            session,
            Requirement(f"{build.project.name}=={rule.build_instead}"),
            platforms=[Platform.parse(build.platform)],
            policy=BuildPolicy.ALWAYS,
            origin="dependency",
            because=f"instead of {build.project.title} {build.version}, which failed: rule {rule.id}",
        )
    except UsageError as err:
        log.warning("build %s: %s is not built instead: %s", build.id, rule.build_instead, err)
        return
    instead = f"{INSTEAD}{rule.build_instead}, for {rule.why} ({rule.id}); it failed with "
    build.reason = instead + one_line(build.reason, limit=_MOST_REASON - len(instead))
    session.flush()


def _rule(build: Build, failure: Failed, folders: Sequence[Path], today: date) -> Rule | None:
    try:
        rules = recipe_files.rules_for(NormalizedName(build.project.name), folders)
    except SettingsError as err:
        log.warning("build %s: its recipes cannot be read, so no other version is built instead: %s", build.id, err)
        return None
    holding = applicable(
        rules, version=Version(build.version), platform=Platform.parse(build.platform), failures=[failure], today=today
    )
    return next((rule for rule in holding if rule.build_instead is not None), None)
