"""What a person has a release on a platform built with, beside the rules of its recipe: a recipe that is being tried.

It holds for that release from then on, also when it is built again to compare. What helped belongs into a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from packaging.version import Version
from sqlalchemy.orm import Session

from master import audit, steer
from master.which import Which
from schema.db.models import Build, PinnedRecipe
from schema.db.session import now
from schema.errors import UsageError
from schema.platforms import Platform
from schema.recipes import Actions, Rule, done

RULE: Final = "tried"


def try_with(session: Session, build_id: int, tried: Actions, *, who: str) -> list[Build]:
    """Have the release of a failed build built once more, with *tried* added to its recipe; raise UsageError."""
    found, made = steer.retry(session, Which(one=build_id), who=who), _plain(tried)
    for build in found:
        try:
            _rule(build.project.name, who, made)
        except ValueError as err:
            raise UsageError(f"recipe: {err}") from err
        known = session.get(PinnedRecipe, (build.project_id, build.version, build.platform))
        before = dict(known.actions) if known else {}
        session.merge(
            PinnedRecipe(
                project_id=build.project_id,
                version=build.version,
                platform=build.platform,
                actions=made,
                who=who,
                set_at=now(session),
            )
        )
        audit.note(session, who=who, action="try-recipe", subject=f"build {build.id}", before=before, after=made)
    return found


def rule_for(session: Session, project_id: int, project: str, version: Version, platform: Platform) -> Rule | None:
    """As a rule that holds from the start; None where nobody tries anything."""
    row = session.get(PinnedRecipe, (project_id, str(version), str(platform)))
    if row is None:
        return None
    return _rule(project, row.who, row.actions)


def _rule(project: str, who: str, does: Mapping[str, object]) -> Rule:
    return Rule.parse({"id": f"{project}/{RULE}", "why": f"{who} tries it", **does})


def _plain(tried: Actions) -> dict[str, object]:
    """Only what it does, as JSON has it."""
    data = tried.to_json()
    return {key: data[key] for key in done(tried)}
