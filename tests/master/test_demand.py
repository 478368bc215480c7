from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, func, select, text

from master import demand, requests, watch
from master.upstream import Upstream
from schema.db.models import Demand, DirtyPage, Project, Request
from schema.db.session import transaction
from schema.platforms import Platform
from schema.sections import FarmSection, Releases, WatchSection
from schema.settings import Settings
from tests import rows
from tests.upstream import FakeUpstream

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HERE = Platform.parse("debian12-x86_64-cp311")
OLDER = Platform.parse("debian12-x86_64-cp310")
ARM = Platform.parse("debian12-aarch64-cp311")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """It has numpy, and nothing else."""
    with FakeUpstream() as server:
        server.add_file("numpy", filename="numpy-1.0.tar.gz")
        with Upstream(server.url, user_agent="wheelfarm/0 (test)", timeout_s=3.0) as client:
            yield client


def settings(**values: Any) -> Settings:
    return Settings(farm=FarmSection(platforms=(HERE, OLDER, ARM)), watch=WatchSection(**{"demand": True, **values}))


def ask(database: Engine, *names: str, view: str = "", asks: int = 1) -> None:
    with transaction(database) as session:
        session.add_all(Demand(name=name, view=view, asks=asks, asked_at=NOW) for name in names)


def wanted(database: Engine) -> set[tuple[str, str, str]]:
    with transaction(database) as session:
        query = select(Project.name, Request.platform, Request.origin).join(Request)
        return {(name, platform, origin) for name, platform, origin in session.execute(query)}


def waiting(database: Engine) -> int:
    with transaction(database) as session:
        return session.scalar(select(func.count()).select_from(Demand)) or 0


def look(database: Engine, upstream: Upstream) -> None:
    watch.look_at_due(database, upstream, poll_s=600)


def test_what_clients_asked_for_is_wanted_for_all_platforms(database: Engine) -> None:
    ask(database, "numpy")

    assert demand.Asked(settings()).turn(database) == 1

    assert wanted(database) == {("numpy", "", "demand")}
    assert waiting(database) == 0


def test_what_was_asked_in_one_view_is_wanted_for_its_platforms(database: Engine) -> None:
    ask(database, "numpy", view="debian12-x86_64")

    demand.Asked(settings()).turn(database)

    assert wanted(database) == {("numpy", str(HERE), "demand"), ("numpy", str(OLDER), "demand")}


def test_a_view_that_the_farm_no_longer_builds_for_wants_nothing(database: Engine) -> None:
    ask(database, "numpy", view="debian13-x86_64")

    demand.Asked(settings()).turn(database)

    assert (wanted(database), waiting(database)) == (set(), 0)


def test_demand_stands_beside_what_a_person_asked_for(database: Engine) -> None:
    with transaction(database) as session:
        (request,) = requests.add(session, Requirement("numpy"), now=NOW)
        request.project.undecided = False
    ask(database, "numpy")

    demand.Asked(settings()).turn(database)

    assert wanted(database) == {("numpy", "", "person"), ("numpy", "", "demand")}
    with transaction(database) as session:
        assert session.scalars(select(Project)).one().undecided is True


def test_every_release_is_wanted_where_the_settings_say_so(database: Engine) -> None:
    ask(database, "numpy")

    demand.Asked(settings(releases=Releases.ALL)).turn(database)

    with transaction(database) as session:
        assert session.scalars(select(Request)).one().every_release is True


def test_where_demand_is_off_rows_are_left_alone(database: Engine) -> None:
    ask(database, "numpy")

    assert demand.Asked(settings(demand=False)).turn(database) == 0
    assert (wanted(database), waiting(database)) == (set(), 1)


def test_so_many_new_projects_a_minute_are_taken_those_asked_for_most_first(database: Engine) -> None:
    ask(database, *(f"rare{number}" for number in range(20)))
    ask(database, "often", asks=9)

    demand.Asked(settings(), new_a_minute=5).turn(database)

    assert len(wanted(database)) == 5
    assert ("often", "", "demand") in wanted(database)
    assert waiting(database) == 16


def test_known_projects_do_not_wait_for_a_flood_of_new_names(database: Engine) -> None:
    ask(database, *(f"flood{number}" for number in range(300)), asks=50)
    ask(database, "numpy")
    with transaction(database) as session:
        rows.project(session, "numpy")

    demand.Asked(settings(), new_a_minute=1).turn(database)

    assert ("numpy", "", "demand") in wanted(database)
    assert len(wanted(database)) == 2


def test_names_that_the_upstream_does_not_have_are_forgotten(database: Engine, upstream: Upstream) -> None:
    asked = demand.Asked(settings())
    ask(database, "numpy", "nunpy")
    asked.turn(database)
    look(database, upstream)

    asked.turn(database)

    assert wanted(database) == {("numpy", "", "demand")}
    with transaction(database) as session:
        assert session.scalars(select(Project.name)).all() == ["numpy"]
        assert len(session.scalars(select(DirtyPage)).all()) <= 1


def test_a_forgotten_name_is_not_looked_for_again_within_a_day(database: Engine, upstream: Upstream) -> None:
    asked = demand.Asked(settings())
    ask(database, "nunpy")
    asked.turn(database)
    look(database, upstream)
    asked.turn(database)

    ask(database, "nunpy")
    asked.turn(database)

    assert (wanted(database), waiting(database)) == (set(), 0)


def test_a_name_that_somebody_else_wants_is_not_forgotten(database: Engine, upstream: Upstream) -> None:
    asked = demand.Asked(settings())
    ask(database, "nunpy")
    asked.turn(database)
    with transaction(database) as session:
        requests.add(session, Requirement("nunpy"))
    look(database, upstream)

    asked.turn(database)

    assert wanted(database) == {("nunpy", "", "demand"), ("nunpy", "", "person")}


def test_a_project_that_the_farm_built_is_not_forgotten(database: Engine) -> None:
    asked = demand.Asked(settings())
    ask(database, "numpy")
    asked.turn(database)
    with transaction(database) as session:
        numpy = session.scalars(select(Project)).one()
        rows.build(session, numpy)
        numpy.status, numpy.checked_at = "missing", NOW

    asked.turn(database)

    assert wanted(database) == {("numpy", "", "demand")}


def test_each_turn_looks_at_some_requests_only_and_begins_anew_at_the_end(database: Engine) -> None:
    with transaction(database) as session:
        for number in range(7):
            requests.add(session, Requirement(f"p{number}"), origin="demand", because=demand.BECAUSE)
        for project in session.scalars(select(Project)):
            project.status, project.checked_at = "missing", NOW

    with transaction(database) as session:
        first, cursor = demand.forget(session, limit=4)
        second, end = demand.forget(session, after=cursor, limit=4)

    assert (first, second, end) == (["p0", "p1", "p2", "p3"], ["p4", "p5", "p6"], 0)


def test_the_walk_over_demand_uses_its_own_index(database: Engine) -> None:
    if database.dialect.name != "sqlite":
        pytest.skip("a planner that counts rows ignores every index of an empty table")
    with transaction(database) as session:
        query = "SELECT id FROM requests WHERE origin = 'demand' AND id > 5 ORDER BY id LIMIT 9"
        plan = " ".join(str(row) for row in session.execute(text(f"EXPLAIN QUERY PLAN {query}")))

    assert "ix_requests_demanded" in plan


def test_open_demand_is_told_until_there_is_a_wheel(database: Engine) -> None:
    ask(database, "later", view="debian12-aarch64", asks=3)
    with transaction(database) as session:
        for name in ("numpy", "served"):
            requests.add(session, Requirement(name), platforms=[HERE], origin="demand", because=demand.BECAUSE)
        served = session.scalars(select(Project).where(Project.name == "served")).one()
        rows.wheel(session, rows.build(session, served, state="published"))

    with transaction(database) as session:
        found = [(item.name, item.view, item.asks, item.note) for item in demand.still_open(session)]

    assert found == [
        ("later", "debian12-aarch64", 3, "not taken yet"),
        ("numpy", "debian12-x86_64", None, "no wheel here yet"),
    ]
