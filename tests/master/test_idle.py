"""Whether anything is left to do, and what became of what people asked for."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, delete
from sqlalchemy.orm import Session

from master import idle, requests, undecided
from schema import cooldown
from schema.db.models import Build, DirtyPage, Project
from schema.db.session import now, transaction
from schema.states import BuildState
from tests import rows


def _looked_at(session: Session, name: str) -> Project:
    project = rows.project(session, name)
    project.checked_at = now(session)
    return project


def test_an_empty_farm_is_idle(database: Engine) -> None:
    with transaction(database) as session:
        assert idle.left_to_do(session) == ""


def test_a_request_keeps_the_farm_busy_until_it_is_decided(database: Engine) -> None:
    with transaction(database) as session:
        (request,) = requests.add(session, Requirement("demo"), now=now(session))
        assert idle.left_to_do(session) == "1 projects to look at"

        request.project.checked_at = now(session)
        session.flush()
        assert idle.left_to_do(session) == "1 projects to decide about"

        assert undecided.take(session, request.project_id)
        assert idle.left_to_do(session) == ""


def test_an_upstream_that_fails_again_and_again_is_not_waited_for(database: Engine) -> None:
    with transaction(database) as session:
        (request,) = requests.add(session, Requirement("demo"), now=now(session))
        request.project.errors, request.project.error = 4, "no answer"
        session.flush()

        assert idle.left_to_do(session) == ""
        (wanted,) = idle.wanted(session, platforms=[rows.PLATFORM])
        assert (wanted.state, wanted.reason) == ("", "no answer")


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ({"state": BuildState.QUEUED}, "1 builds"),
        ({"state": BuildState.WAITING}, "1 builds"),
        ({"state": BuildState.WAITING, "reason": f"{cooldown.REASON}tomorrow"}, ""),
        ({"state": BuildState.LEASED, "leased_to": "n1"}, "1 builds"),
        ({"state": BuildState.PUBLISHED}, "1 wheels whose requirements are to be read"),
        ({"state": BuildState.UNNEEDED}, "1 wheels whose requirements are to be read"),
        ({"state": BuildState.FAILED}, ""),
        ({"state": BuildState.POISONED}, ""),
    ],
)
def test_a_build_keeps_the_farm_busy_while_the_farm_has_the_next_move(
    database: Engine, values: dict[str, str], left: str
) -> None:
    with transaction(database) as session:
        rows.build(session, _looked_at(session, "demo"), **values)
        session.execute(delete(DirtyPage))  # as if its page were rendered

        assert idle.left_to_do(session) == left


def test_pages_that_are_not_rendered_yet_keep_it_busy(database: Engine) -> None:
    with transaction(database) as session:
        session.add(DirtyPage(project_id=_looked_at(session, "demo").id))
        session.flush()

        assert idle.left_to_do(session) == "1 pages to render"


def test_what_people_and_lists_asked_for_is_told_but_not_what_it_needs(database: Engine) -> None:
    with transaction(database) as session:
        for name, origin in (("mine", "person"), ("listed", "list"), ("needed", "dependency")):
            project = _looked_at(session, name)
            requests.add(session, Requirement(name), now=now(session), origin=origin)  # type: ignore[arg-type]
            rows.build(session, project, state=BuildState.PUBLISHED, reason="all is well")

        found = idle.wanted(session, platforms=[rows.PLATFORM])

    assert [(item.project, item.version, item.is_published) for item in found] == [
        ("listed", "1.0", True),
        ("mine", "1.0", True),
    ]


def test_what_failed_is_told_with_its_reason(database: Engine) -> None:
    with transaction(database) as session:
        project = _looked_at(session, "demo")
        requests.add(session, Requirement("demo"), now=now(session))
        rows.build(session, project, state=BuildState.FAILED, reason="build: no compiler")

        (found,) = idle.wanted(session, platforms=[rows.PLATFORM])

    assert (found.is_settled_well, found.reason) == (False, "build: no compiler")


def test_a_rebuild_that_gave_the_same_bytes_hides_nothing(database: Engine) -> None:
    with transaction(database) as session:
        project = _looked_at(session, "demo")
        requests.add(session, Requirement("demo"), now=now(session))
        first = rows.build(session, project, state=BuildState.PUBLISHED)
        again = {key: getattr(first, key) for key in ("version", "platform", "policy", "created_at", "changed_at")}
        session.add(Build(project_id=project.id, build_number=1, state=BuildState.UNNEEDED, **again))
        session.flush()

        (found,) = idle.wanted(session, platforms=[rows.PLATFORM])

    assert found.is_published


def test_a_wish_that_cannot_be_fulfilled_is_told_with_its_problem(database: Engine) -> None:
    with transaction(database) as session:
        (request,) = requests.add(session, Requirement("demo>99"), now=now(session))
        request.project.checked_at = request.resolved_at = now(session)
        request.problem = "no version fits >99"
        session.flush()

        (found,) = idle.wanted(session, platforms=[rows.PLATFORM])

    assert (found.project, found.reason, found.is_settled_well) == ("demo", "no version fits >99", False)
