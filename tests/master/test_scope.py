from __future__ import annotations

from datetime import UTC, datetime

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, event, func, select

from master import requests, scope
from schema.db.models import Build, Mark, Project, Request
from schema.db.session import transaction
from schema.sections import FarmSection, Releases, Scope, WatchSection
from schema.settings import Settings
from schema.states import BuildPolicy
from tests import rows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALL = Settings(watch=WatchSection(scope=Scope.ALL))
DJANGO = Settings(watch=WatchSection(patterns=("Django_*", "py*")))
NOTHING = Settings()


def adopt(database: Engine, *names: str, settings: Settings = DJANGO) -> int:
    with transaction(database) as session:
        return scope.adopt(session, names, settings=settings, now=NOW)


def wanted(database: Engine) -> dict[str, str]:
    """Project → why it is wanted."""
    with transaction(database) as session:
        return dict(session.execute(select(Project.name, Request.because).join(Request)).all())


def walk(database: Engine, settings: Settings) -> int:
    """To the end; how many projects were looked at."""
    found, looked = scope.Walk(settings), 0
    while some := found.turn(database):
        looked += some
    return looked


def counted(database: Engine) -> int:
    with transaction(database) as session:
        mark = session.get(Mark, scope.COUNT)
        return mark.done if mark else 0


def test_names_that_a_pattern_fits_are_wanted_in_any_spelling(database: Engine) -> None:
    added = adopt(database, "Django.Ninja", "pyyaml", "numpy", "not a name!", "")

    assert added == 2
    assert wanted(database) == {"django-ninja": "pattern Django_*", "pyyaml": "pattern py*"}


def test_a_farm_for_all_of_the_upstream_wants_every_name(database: Engine) -> None:
    assert adopt(database, *(f"p{number}" for number in range(1_234)), settings=ALL) == 1_234
    assert set(wanted(database).values()) == {requests.ALL_OF_UPSTREAM}
    assert counted(database) == 1_234


def test_without_a_scope_nothing_is_wanted_and_nothing_is_written(database: Engine) -> None:
    assert adopt(database, "numpy", settings=NOTHING) == 0
    assert wanted(database) == {}


def test_a_project_in_scope_waits_to_be_decided(database: Engine) -> None:
    adopt(database, "Django_X", settings=ALL)

    with transaction(database) as session:
        project = session.scalars(select(Project)).one()
        request = session.scalars(select(Request)).one()
        assert (project.title, project.undecided, project.check_at, project.checked_at) == ("Django_X", True, NOW, None)
        assert (request.origin, request.specifier, request.platform, request.resolved_at) == ("scope", "", "", None)
        assert (request.created_at, request.policy, request.every_release) == (NOW, "missing", False)


def test_adopting_again_changes_nothing(database: Engine) -> None:
    adopt(database, "pyyaml")
    with transaction(database) as session:
        session.scalars(select(Project)).one().undecided = False

    assert adopt(database, "pyyaml", "PyYAML") == 0

    with transaction(database) as session:
        assert session.scalars(select(Project)).one().undecided is False
        assert session.scalar(select(func.count()).select_from(Request)) == 1
    assert counted(database) == 1


def test_a_project_that_is_there_already_gets_a_request_of_the_scope(database: Engine) -> None:
    with transaction(database) as session:
        requests.add(session, Requirement("pyyaml"), now=NOW)

    assert adopt(database, "pyyaml") == 1

    with transaction(database) as session:
        assert sorted(session.scalars(select(Request.origin))) == ["person", "scope"]


def test_every_release_is_wanted_where_the_settings_say_so(database: Engine) -> None:
    adopt(database, "a", settings=Settings(watch=WatchSection(scope=Scope.ALL, releases=Releases.ALL)))

    with transaction(database) as session:
        assert session.scalars(select(Request)).one().every_release is True


@pytest.mark.parametrize("settings", [ALL, DJANGO])
def test_what_the_wheels_need_is_followed_unless_everything_is_wanted_anyway(
    database: Engine, settings: Settings
) -> None:
    adopt(database, "pyyaml", settings=settings)

    with transaction(database) as session:
        assert requests.follows(session.scalars(select(Request)).one()) is (settings is DJANGO)


def test_the_number_of_statements_does_not_grow_with_each_name(database: Engine) -> None:
    statements: list[str] = []

    @event.listens_for(database, "before_cursor_execute")
    def _count(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    adopt(database, *(f"p{number}" for number in range(2_000)), settings=ALL)

    assert len(statements) < 40


def test_a_smaller_scope_takes_back_what_no_longer_fits(database: Engine) -> None:
    adopt(database, "pyyaml", "numpy", settings=ALL)

    walk(database, DJANGO)

    assert wanted(database) == {"pyyaml": "pattern py*"}
    assert counted(database) == 1


def test_a_larger_scope_takes_in_what_is_known_already(database: Engine) -> None:
    with transaction(database) as session:
        rows.project(session, "numpy")

    walk(database, ALL)

    assert wanted(database) == {"numpy": requests.ALL_OF_UPSTREAM}


def test_builds_that_nobody_else_wants_are_not_begun(database: Engine) -> None:
    adopt(database, "numpy", "asked", "running", settings=ALL)
    with transaction(database) as session:
        projects = {project.name: project for project in session.scalars(select(Project))}
        builds = {
            "numpy": rows.build(session, projects["numpy"]).id,
            "asked": rows.build(session, projects["asked"]).id,
            "running": rows.build(session, projects["running"], state="leased", leased_to="n1").id,
        }
        requests.add(session, Requirement("asked>=1"), now=NOW)

    walk(database, NOTHING)

    with transaction(database) as session:
        states = {name: session.get_one(Build, build_id).state for name, build_id in builds.items()}
        numpy = session.get_one(Build, builds["numpy"])
        assert states == {"numpy": "unneeded", "asked": "queued", "running": "leased"}
        assert numpy.reason == "nobody asks for it any more: it is no longer in the farm's scope"
        assert numpy.followed_at is not None


def test_a_change_of_what_is_wanted_of_a_project_is_decided_anew(database: Engine) -> None:
    adopt(database, "pyyaml")
    with transaction(database) as session:
        session.scalars(select(Project)).one().undecided = False

    walk(
        database,
        Settings(farm=FarmSection(build=BuildPolicy.ALWAYS), watch=WatchSection(patterns=("Django_*", "py*"))),
    )

    with transaction(database) as session:
        assert session.scalars(select(Project)).one().undecided is True
        assert session.scalars(select(Request)).one().policy == "always"


def test_the_same_settings_are_compared_once_only(database: Engine) -> None:
    adopt(database, "pyyaml", "pycurl")

    assert walk(database, DJANGO) == 2
    assert walk(database, DJANGO) == 0


def test_a_walk_goes_on_after_a_restart_where_it_was(database: Engine) -> None:
    adopt(database, *(f"p{number}" for number in range(700)), settings=ALL)
    first = scope.Walk(NOTHING).turn(database)

    rest = walk(database, NOTHING)

    assert (first, rest) == (500, 200)
    assert wanted(database) == {}
    with transaction(database) as session:
        mark = session.get_one(Mark, scope.WALK)
        assert (mark.done, mark.total, mark.finished_at is not None) == (700, 700, True)


def test_a_walk_that_is_done_leaves_the_database_alone(database: Engine) -> None:
    found = scope.Walk(NOTHING)
    while found.turn(database):
        pass
    touched: list[object] = []
    event.listen(database, "begin", touched.append)

    found.turn(database)

    assert touched == []
