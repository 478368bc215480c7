"""Which wheels went into each build, so that those built against one project are found without reading attempts."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.utils import NormalizedName, canonicalize_name
from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased, joinedload

from schema.db.models import Build, BuildMaterial
from schema.db.session import insert
from schema.jobs import Material
from schema.states import BuildState

# The kinds of material that are build requirements.
_WHEELS = frozenset({"python", "farm-wheel"})


def keep(session: Session, build: Build, materials: Iterable[Material]) -> None:
    """Note the build requirements of an attempt that gave a wheel."""
    found = {canonicalize_name(item.name): item.version for item in materials if item.kind in _WHEELS}
    if not found:
        return
    rows = [{"build_id": build.id, "name": name, "version": version} for name, version in sorted(found.items())]
    added = insert(session, BuildMaterial).values(rows)
    session.execute(
        added.on_conflict_do_update(
            index_elements=[BuildMaterial.build_id, BuildMaterial.name], set_={"version": added.excluded.version}
        )
    )


def built_with(session: Session, name: NormalizedName, *, after: int, limit: int) -> list[tuple[int, str]]:
    """Number and version of *name*, of builds that were made with it, by number from *after* on."""
    rows = session.execute(
        select(BuildMaterial.build_id, BuildMaterial.version)
        .where(BuildMaterial.name == name, BuildMaterial.build_id > after)
        .order_by(BuildMaterial.build_id)
        .limit(limit)
    )
    return [(row.build_id, row.version) for row in rows]


def newest_published(session: Session, build_ids: Iterable[int]) -> list[Build]:
    """Those of the builds that are published, and of whose release there is no later build on the platform."""
    later = aliased(Build)
    query = (
        select(Build)
        .where(
            Build.id.in_(list(build_ids)),
            Build.state == BuildState.PUBLISHED,
            Build.sdist_id.is_not(None),
            ~exists().where(
                later.project_id == Build.project_id,
                later.version == Build.version,
                later.platform == Build.platform,
                later.build_number > Build.build_number,
            ),
        )
        .options(joinedload(Build.project))
        .order_by(Build.id)
    )
    return list(session.scalars(query))
