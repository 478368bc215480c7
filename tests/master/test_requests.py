from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, select

from master import requests, urgency
from schema.db.models import Project, Request
from schema.db.session import transaction
from schema.errors import UsageError
from schema.platforms import Platform
from schema.states import BuildPolicy

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOOKWORM = Platform.parse("debian12-x86_64-cp311")
TRIXIE = Platform.parse("debian13-x86_64-cp313")


def test_a_request_makes_its_project_and_has_it_looked_at_soon(database: Engine) -> None:
    with transaction(database) as session:
        (request,) = requests.add(session, Requirement("PyNaCl>=1.5"), policy=BuildPolicy.ALWAYS, now=NOW)

        assert (request.project.name, request.project.title, request.project.check_at) == (
            "pynacl",
            "PyNaCl",
            NOW - urgency.PERSON,
        )
        assert (request.specifier, request.platform, request.policy) == (">=1.5", "", "always")
        assert (request.origin, request.resolved_at) == ("person", None)


def test_asking_again_changes_nothing(database: Engine) -> None:
    for _ in range(2):
        with transaction(database) as session:
            (request,) = requests.add(session, Requirement("demo"), platforms=[BOOKWORM], now=NOW)
            request.resolved_at = NOW

    with transaction(database) as session:
        assert [item.resolved_at for item in session.scalars(select(Request))] == [NOW]
        assert len(session.scalars(select(Project)).all()) == 1


@pytest.mark.parametrize("order", [("missing", "always"), ("always", "missing")])
def test_the_stronger_policy_stays(database: Engine, order: tuple[str, str]) -> None:
    with transaction(database) as session:
        for policy in order:
            requests.add(session, Requirement("demo"), policy=BuildPolicy(policy), dependencies=BuildPolicy(policy))

    with transaction(database) as session:
        request = session.scalars(select(Request)).one()
        assert (request.policy, request.dependencies) == ("always", "always")


def test_extras_add_up_and_are_resolved_anew(database: Engine) -> None:
    with transaction(database) as session:
        (request,) = requests.add(session, Requirement("demo[Fast]"), now=NOW)
        request.resolved_at = NOW
        session.flush()
        requests.add(session, Requirement("demo[small_one]"), now=NOW)

        assert request.resolved_at is None
        assert requests.extras_of(request) == {"fast", "small-one"}


def test_a_person_does_not_wait_for_the_next_look(database: Engine) -> None:
    with transaction(database) as session:
        (request,) = requests.add(session, Requirement("demo"), now=NOW)
        request.project.check_at, request.project.checked_at = NOW + timedelta(hours=6), NOW
        session.flush()

        requests.add(session, Requirement("demo"), origin="dependency", because="x", now=NOW)
        assert request.project.check_at > NOW
        requests.add(session, Requirement("demo"), now=NOW)
        assert request.project.check_at == NOW - urgency.PERSON


def test_a_marker_chooses_among_the_farms_platforms(database: Engine) -> None:
    with transaction(database) as session:
        found = requests.add(
            session, Requirement('demo; python_version < "3.12"'), farm_platforms=[BOOKWORM, TRIXIE], now=NOW
        )
        nobody = requests.add(
            session, Requirement('win; sys_platform == "win32"'), farm_platforms=[BOOKWORM, TRIXIE], now=NOW
        )

        assert [request.platform for request in found] == [str(BOOKWORM)]
        assert nobody == []
        assert session.scalars(select(Project.name)).all() == ["demo"]


@pytest.mark.parametrize(
    "text",
    [
        "demo @ https://index.example/demo-1.0.tar.gz",
        "demo" + ",".join(f">{number}" for number in range(200)),
        'demo; python_version < "3.12"',
    ],
)
def test_what_cannot_be_asked_is_refused_without_a_trace(database: Engine, text: str) -> None:
    with transaction(database) as session:
        with pytest.raises(UsageError, match="demo"):
            requests.add(session, Requirement(text), now=NOW)

        assert session.scalars(select(Project)).all() == []


def test_who_asks_at_the_same_moment_asks_for_the_same_thing(database: Engine) -> None:
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        with transaction(database) as session:
            requests.add(session, Requirement("demo"), now=NOW)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with transaction(database) as session:
        assert len(session.scalars(select(Request)).all()) == 1
