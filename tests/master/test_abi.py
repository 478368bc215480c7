"""What was compiled against an older series of another project is built again, or counted."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session

from master import abi, builds, materials
from master.abi import Release, Walks
from schema.db.models import AuditEntry, Build, BuildMaterial, Project
from schema.db.session import transaction
from schema.errors import UsageError
from schema.jobs import Material
from schema.platforms import Platform
from schema.sections import FarmSection, PlanSection
from schema.settings import Settings
from schema.states import BuildState
from tests import rows

OTHER = "debian12-aarch64-cp311"
NUMPY = NormalizedName("numpy")
FARM = FarmSection(platforms=(Platform.parse(rows.PLATFORM), Platform.parse(OTHER)))
COUNTS = Settings(farm=FARM, plan=PlanSection(abi=("NumPy",)))
REBUILDS = Settings(farm=FARM, plan=PlanSection(abi=("NumPy",), abi_rebuild=True))


def published(session: Session, name: str, version: str = "1.0", *, used: str = "", **values: Any) -> Build:
    """A published build; *used*: the numpy that it was made with."""
    project = session.scalar(select(Project).where(Project.name == name)) or rows.project(session, name)
    build = rows.build(session, project, version=version, state=BuildState.PUBLISHED, **values)
    if used:
        materials.keep(session, build, [Material(kind="python", name="NumPy", version=used)])
    return build


def queued(database: Engine) -> list[tuple[str, str, int, str]]:
    """Project, version, build number and reason of what is queued."""
    with transaction(database) as session:
        found = session.scalars(select(Build).where(Build.state == BuildState.QUEUED).order_by(Build.id))
        return [(item.project.name, item.version, item.build_number, item.reason) for item in found]


def notes(database: Engine) -> list[str]:
    with transaction(database) as session:
        return abi.notes(session)


def test_only_build_requirements_are_kept_and_the_newest_attempt_counts(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        image = Material(kind="image", name="debian12", version="1")
        materials.keep(session, build, [image, Material(kind="farm-wheel", name="NumPy", version="1.26.4")])
        materials.keep(session, build, [image, Material(kind="python", name="numpy", version="2.0.0")])
        materials.keep(session, build, [image])

        (row,) = session.scalars(select(BuildMaterial))
        assert (row.build_id, row.name, row.version) == (build.id, "numpy", "2.0.0")


def test_a_new_series_has_what_was_built_with_an_older_one_built_again(database: Engine) -> None:
    with transaction(database) as session:
        published(session, "scipy", used="1.26.4")
        published(session, "pandas", used="2.0.0")
        published(session, "elsewhere", used="1.26.4", platform=OTHER)
        published(session, "pure")
        published(session, "numpy", "2.0.0")

    assert Walks(REBUILDS).turn(database) == 1

    assert queued(database) == [("scipy", "1.0", 1, "numpy 2.0.0 was published; built against 1.26.4")]
    assert notes(database) == [
        f"1 builds on {rows.PLATFORM} were made with an older numpy than 2.0.0: they are built again"
    ]
    with transaction(database) as session:
        made = session.scalars(select(Build).where(Build.state == BuildState.QUEUED)).one()
        assert (made.policy, made.sdist_id is not None, made.followed_at is not None) == ("always", True, True)
        assert session.scalars(select(AuditEntry)).all() == []  # no person did that


def test_by_default_they_are_only_counted_and_people_are_told_what_to_type(database: Engine) -> None:
    with transaction(database) as session:
        published(session, "scipy", used="1.26.4")
        published(session, "numpy", "2.0.0")

    assert [Walks(COUNTS).turn(database), Walks(COUNTS).turn(database)] == [1, 0]

    assert queued(database) == []
    (told,) = notes(database)
    assert told.startswith(f"1 builds on {rows.PLATFORM} were made with an older numpy than 2.0.0; ")
    assert told.endswith("; wheelfarm rebuild --because-of numpy==2.0.0 builds them again")
    with transaction(database) as session:
        abi.settle(session, NUMPY, None)
    assert notes(database) == []


@pytest.mark.parametrize(("later", "found"), [("2.0.1", 0), ("1.27.0", 0), ("2.1.0rc1", 0), ("2.1.0", 1), ("3.0", 1)])
def test_each_series_counts_once_and_only_if_it_is_higher(database: Engine, later: str, found: int) -> None:
    with transaction(database) as session:
        published(session, "scipy", used="1.26.4")
        published(session, "numpy", "2.0.0")
    walks = Walks(COUNTS)
    walks.turn(database)

    with transaction(database) as session:
        published(session, "numpy", later)

    assert walks.turn(database) == found


@pytest.mark.parametrize("state", [BuildState.WITHDRAWN, BuildState.FAILED])
def test_what_is_not_published_any_more_is_left_alone(database: Engine, state: BuildState) -> None:
    with transaction(database) as session:
        published(session, "scipy", used="1.26.4").state = state
        published(session, "numpy", "2.0.0")

    assert Walks(REBUILDS).turn(database) == 0


def test_what_was_built_again_already_is_not_queued_once_more(database: Engine) -> None:
    with transaction(database) as session:
        first = published(session, "scipy", used="1.26.4")
        builds.insert(
            session,
            Build(
                project_id=first.project_id,
                version="1.0",
                platform=first.platform,
                build_number=1,
                policy="always",
                state=BuildState.FAILED,
                created_at=first.created_at,
                changed_at=first.changed_at,
            ),
        )
        published(session, "numpy", "2.0.0")

    assert Walks(REBUILDS).turn(database) == 0


def test_the_walk_goes_by_batches_and_takes_each_once(database: Engine) -> None:
    with transaction(database) as session:
        for number in range(5):
            published(session, f"p{number}", used="1.26.4")
        release = Release(name=NUMPY, version=Version("2.0.0"))

        first, after = abi.dependents(session, release, limit=3)
        rest, end = abi.dependents(session, release, after=after, limit=3)

    assert [item.build.project.name for item in (*first, *rest)] == [f"p{number}" for number in range(5)]
    assert (after > 0, end) == (True, 0)


def test_by_hand_every_older_version_counts(database: Engine) -> None:
    with transaction(database) as session:
        published(session, "scipy", used="1.26.3")
        published(session, "odd", used="no version")
        published(session, "numpy", "1.26.4")
        release = Release(name=NUMPY, version=Version("1.26.4"), series=False)

        abi.known(session, release)
        ((item,), _) = abi.dependents(session, release)
        made = abi.again(session, item, release, who="ada")

        assert (made.project.name, made.build_number, item.used) == ("scipy", 1, "1.26.3")
        entry = session.scalars(select(AuditEntry)).one()
        assert (entry.who, entry.action, entry.reason) == ("ada", "rebuild", "because of numpy 1.26.4")


def test_a_release_that_nobody_knows_is_refused(database: Engine) -> None:
    with transaction(database) as session:
        published(session, "numpy", "1.26.4")

        with pytest.raises(UsageError, match=r"the farm knows of no numpy 9.0"):
            abi.known(session, Release(name=NUMPY, version=Version("9.0")))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_builds_are_found_by_their_material_not_by_reading_all(database: Engine) -> None:
    with transaction(database) as session:
        published(session, "scipy", used="1.26.4")
        published(session, "numpy", "2.0.0")
        session.execute(text("ANALYZE"))
    asked: list[tuple[str, Any]] = []
    event.listen(database, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))

    Walks(COUNTS).turn(database)
    reads = [item for item in asked if item[0].startswith("SELECT") and "FROM" in item[0]]

    with database.connect() as connection:
        plans = [
            row[3] for sql, values in reads for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    assert "SEARCH build_materials USING INDEX ix_build_materials_name_build_id (name=? AND build_id>?)" in plans
    assert [plan for plan in plans if plan.startswith("SCAN")] == [], plans
