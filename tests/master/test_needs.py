"""A build that misses a build requirement waits until that is built, and no longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from master import builds, needs
from schema.db.models import Build, Project, Request
from schema.db.session import now, transaction
from schema.names import NodeName
from schema.states import BuildState
from tests import rows

OTHER = "debian12-aarch64-cp311"


def _looked_at(session: Session, name: str) -> Project:
    """A project that the upstream was asked about."""
    project = session.scalar(select(Project).where(Project.name == name)) or rows.project(session, name)
    project.checked_at = now(session)
    session.flush()
    return project


def _resolved(session: Session, name: str, problem: str = "") -> None:
    """As after the resolving of what was asked for."""
    project = _looked_at(session, name)
    for request in session.scalars(select(Request).where(Request.project_id == project.id)):
        request.resolved_at, request.problem = now(session), problem
    session.flush()


def _queued(session: Session, name: str, **values: Any) -> Build:
    return rows.build(session, _looked_at(session, name), **values)


def _missing(session: Session, build: Build, *missing: str) -> None:
    """An attempt at *build* ends because of these."""
    if build.state == BuildState.QUEUED:
        rows.lease(session, build, node=NodeName("n1"), lease_s=90)
    needs.wait(session, build, missing)


def _end(session: Session, build: Build, state: BuildState, reason: str = "it is over") -> None:
    if build.state == BuildState.QUEUED:
        rows.lease(session, build, node=NodeName("n1"), lease_s=90)
    if state in {BuildState.PUBLISHED, BuildState.UNNEEDED}:
        lease = {"leased_to": build.leased_to, "lease_until": build.lease_until}
        builds.move(session, build, BuildState.COLLECTING, reason="", **lease)
    builds.move(session, build, state, reason=reason)


def _state(build: Build) -> tuple[str, str]:
    return build.state, build.reason


def test_what_is_missing_is_asked_for_and_waited_for(database: Engine) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")

        _missing(session, build, "Cython>=3")

        assert _state(build) == ("waiting", "waits for Cython, which must be built first")
        request = session.scalars(select(Request)).one()
        assert (request.project.name, request.specifier, request.platform) == ("cython", ">=3", rows.PLATFORM)
        assert (request.policy, request.origin) == ("always", "dependency")
        assert request.because == "demo 1.0 needs it to build"
        assert (build.waits_for, build.needs) == (request.project_id, ["Cython>=3"])


@pytest.mark.parametrize("state", [BuildState.PUBLISHED, BuildState.UNNEEDED])
def test_it_is_queued_the_moment_that_its_requirement_is_there(database: Engine, state: BuildState) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")
        _missing(session, build, "cython>=3")
        cython = _queued(session, "cython", version="3.1")

        _end(session, cython, state)

        assert _state(build) == ("queued", "what it needs to build is there now: cython>=3")
        assert build.waits_for is None


@pytest.mark.parametrize(
    "values", [{"version": "2.9"}, {"version": "3.1", "platform": OTHER}], ids=["older", "other platform"]
)
def test_what_does_not_fit_wakes_nobody(database: Engine, values: dict[str, Any]) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")
        _missing(session, build, "cython>=3")

        _end(session, _queued(session, "cython", **values), BuildState.PUBLISHED)

        assert build.state == BuildState.WAITING


def test_it_waits_for_one_after_the_other_and_begins_with_the_last(database: Engine) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")
        _missing(session, build, "cython", "pythran")
        cython, pythran = _queued(session, "cython"), _queued(session, "pythran")

        _end(session, cython, BuildState.PUBLISHED)
        assert _state(build) == ("waiting", "waits for pythran, which must be built first")

        _end(session, pythran, BuildState.PUBLISHED)
        assert build.state == BuildState.QUEUED


def test_what_another_attempt_finds_missing_is_added(database: Engine) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")
        _missing(session, build, "cython")
        _end(session, _queued(session, "cython"), BuildState.PUBLISHED)

        _missing(session, build, "pythran")

        assert (build.state, build.needs) == (BuildState.WAITING, ["cython", "pythran"])


def test_what_the_farm_has_already_is_not_waited_for(database: Engine) -> None:
    with transaction(database) as session:
        _end(session, _queued(session, "cython"), BuildState.PUBLISHED)
        build = _queued(session, "demo")

        _missing(session, build, "cython")

        assert build.state == BuildState.QUEUED


def test_what_is_there_and_still_missing_is_of_no_use(database: Engine) -> None:
    with transaction(database) as session:
        _end(session, _queued(session, "cython"), BuildState.PUBLISHED)
        build = _queued(session, "demo")
        _missing(session, build, "cython")

        _missing(session, build, "cython")

        reason = "requirement: needs cython to build, and what there is of it is of no use"
        assert _state(build) == ("failed", reason)


def test_a_requirement_that_fails_for_good_fails_all_that_wait_for_it(database: Engine) -> None:
    with transaction(database) as session:
        first, second = _queued(session, "demo"), _queued(session, "other")
        _missing(session, first, "other")
        _missing(session, second, "cython")
        cython = _queued(session, "cython")
        _resolved(session, "cython")
        _resolved(session, "other")

        _end(session, cython, BuildState.FAILED, "build: no such header")

        told = "needs cython to build, which cannot be had: cython 1.0: build: no such header"
        assert _state(second) == ("failed", f"requirement: {told}")
        assert first.state == BuildState.FAILED
        assert first.reason.startswith(
            "requirement: needs other to build, which cannot be had: other 1.0: requirement:"
        )


@pytest.mark.parametrize("state", [BuildState.HELD, BuildState.POISONED])
def test_what_waits_for_a_person_is_still_waited_for(database: Engine, state: BuildState) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")
        _missing(session, build, "cython")
        cython = _queued(session, "cython")
        _resolved(session, "cython")
        if state is BuildState.POISONED:
            rows.lease(session, cython, node=NodeName("n1"), lease_s=90)

        builds.move(session, cython, state, reason="a person must look")

        assert build.state == BuildState.WAITING


def test_a_requirement_that_no_release_meets_is_found_by_the_sweep(database: Engine) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")
        _missing(session, build, "cython>=99")
        needs.sweep(session)
        assert build.state == BuildState.WAITING

        _resolved(session, "cython", "no release fits >=99")
        needs.sweep(session)

        told = "needs cython>=99 to build, which cannot be had: no release fits >=99"
        assert _state(build) == ("failed", f"requirement: {told}")


def test_a_wake_up_that_was_missed_is_caught_by_the_sweep(database: Engine) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")
        _missing(session, build, "cython")
        cython = _queued(session, "cython")
        session.execute(update(Build).where(Build.id == cython.id).values(state=BuildState.PUBLISHED))
        session.expire_all()

        needs.sweep(session)

        assert build.state == BuildState.QUEUED


def test_the_sweep_goes_through_all_of_them_piece_by_piece(database: Engine) -> None:
    with transaction(database) as session:
        waiting = [_queued(session, f"demo{number}") for number in range(5)]
        for number, build in enumerate(waiting):
            _missing(session, build, f"need{number % 2}")
        for number in range(2):
            _resolved(session, f"need{number}", "there is none")

        after, turns = needs.sweep(session, limit=2), 1
        while after != (0, 0):
            after, turns = needs.sweep(session, after=after, limit=2), turns + 1

        assert {build.state for build in waiting} == {BuildState.FAILED}
        assert turns == 3


def test_what_needs_itself_fails(database: Engine) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")

        _missing(session, build, "Demo>=1")

        assert _state(build) == ("failed", "requirement: needs itself to build")


def test_builds_that_need_each_other_fail_with_the_circle_named(database: Engine) -> None:
    with transaction(database) as session:
        first, second, third = (_queued(session, name) for name in ("a", "b", "c"))
        for build, needed in ((first, "b"), (second, "c"), (third, "a")):
            _missing(session, build, needed)
            _resolved(session, needed)

        circle = "c, which needs a, which needs b, which needs c; a person must break this circle"
        assert _state(third) == ("failed", f"requirement: needs itself to build, in the end: {circle}")
        assert [first.state, second.state] == ["failed", "failed"]
        assert second.reason.startswith(
            "requirement: needs c to build, which cannot be had: c 1.0: requirement: needs itself"
        )


def test_a_chain_that_is_too_long_is_cut(database: Engine) -> None:
    with transaction(database) as session:
        chain = [_queued(session, f"p{number}") for number in range(30)]
        for number in reversed(range(29)):
            _missing(session, chain[number], f"p{number + 1}")
            _resolved(session, f"p{number + 1}")

        assert [chain[9].state, chain[10].state] == [BuildState.FAILED, BuildState.WAITING]
        assert "needs a chain of more than 20 others to build: " in chain[9].reason


def test_a_node_cannot_have_requirements_without_end_built(database: Engine) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")

        _missing(session, build, *(f"need{number}" for number in range(21)))

        assert _state(build) == ("failed", "requirement: needs more than 20 requirements that have no wheel")
        assert session.scalars(select(Request)).all() == []


def test_what_a_person_held_and_released_waits_again(database: Engine) -> None:
    with transaction(database) as session:
        build = _queued(session, "demo")
        _missing(session, build, "cython")
        builds.move(session, build, BuildState.HELD, reason="held")
        assert build.waits_for is None
        builds.move(session, build, BuildState.QUEUED, reason="released")

        _missing(session, build, "cython")

        assert _state(build) == ("waiting", "waits for cython, which must be built first")


def test_a_request_that_is_not_resolved_yet_is_waited_for(database: Engine) -> None:
    with transaction(database) as session:
        cython = _queued(session, "cython", version="2.0")
        _end(session, cython, BuildState.FAILED)
        cython.changed_at -= timedelta(days=1)
        build = _queued(session, "demo")

        _missing(session, build, "cython>=2")

        assert build.state == BuildState.WAITING


def _needing(session: Session, name: str, *needs_: str, **values: Any) -> Build:
    """A build that found these missing; what it asked for is resolved."""
    build = _queued(session, name, **values)
    _missing(session, build, *needs_)
    for text in needs_:
        _resolved(session, Requirement(text).name)
    return build


def test_what_failed_for_want_of_a_requirement_waits_again_when_that_is_retried_and_begins_with_it(
    database: Engine,
) -> None:
    with transaction(database) as session:
        cython = _queued(session, "cython")
        build = _needing(session, "demo", "cython")
        _end(session, cython, BuildState.FAILED)
        assert (build.state, build.waits_for) == (BuildState.FAILED, cython.project_id)

        builds.move(session, cython, BuildState.QUEUED, reason="a person asked for it")
        needs.sweep(session)
        assert _state(build) == ("waiting", "waits for cython, which must be built first")

        _end(session, cython, BuildState.PUBLISHED)
        assert _state(build) == ("queued", "what it needs to build is there now: cython")


def test_it_is_queued_too_if_the_sweep_did_not_come_by_between_retry_and_publishing(database: Engine) -> None:
    with transaction(database) as session:
        cython = _queued(session, "cython")
        build = _needing(session, "demo", "cython")
        _end(session, cython, BuildState.FAILED)
        builds.move(session, cython, BuildState.QUEUED, reason="a person asked for it")

        _end(session, cython, BuildState.PUBLISHED)

        assert _state(build) == ("queued", "what it needs to build is there now: cython")


def test_of_two_that_are_wanting_the_second_is_waited_for_when_the_first_comes(database: Engine) -> None:
    with transaction(database) as session:
        cython, flit = _queued(session, "cython"), _queued(session, "flit")
        build = _needing(session, "demo", "cython", "flit")
        for item in (cython, flit):
            _end(session, item, BuildState.FAILED, reason=f"no {item.project.name}")
        assert build.reason.endswith("no cython")

        builds.move(session, cython, BuildState.QUEUED, reason="a person asked for it")
        _end(session, cython, BuildState.PUBLISHED)

        assert (build.state, build.waits_for) == (BuildState.FAILED, flit.project_id)
        assert build.reason.endswith("no flit")


def test_a_requirement_that_fails_once_more_leaves_the_reason_as_it_was(database: Engine) -> None:
    with transaction(database) as session:
        cython = _queued(session, "cython")
        build = _needing(session, "demo", "cython")
        _end(session, cython, BuildState.FAILED, reason="first")
        before = _state(build)

        builds.move(session, cython, BuildState.QUEUED, reason="a person asked for it")
        _end(session, cython, BuildState.FAILED, reason="second")

        assert _state(build) == before


def test_one_that_cannot_be_decided_about_undoes_neither_the_end_nor_the_others(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction(database) as session:
        cython = _queued(session, "cython")
        bad, good = _needing(session, "bad", "cython", score=9.0), _needing(session, "good", "cython")
        bad.needs = ["cython", "no requirement at all!"]
        session.flush()

        _end(session, cython, BuildState.PUBLISHED)
        needs.sweep(session)

        assert [item.state for item in (cython, bad, good)] == ["published", "waiting", "queued"]
        assert f"build {bad.id}: what it waits for cannot be looked at now" in caplog.messages


def test_what_is_waited_for_is_as_urgent_as_what_waits(database: Engine) -> None:
    with transaction(database) as session:
        old, cython, elsewhere = (
            _queued(session, "cython", version="2.0", score=5.0),
            _queued(session, "cython", version="3.0", score=5.0),
            _queued(session, "cython", version="3.1", score=5.0, platform=OTHER),
        )
        urgent = _needing(session, "urgent", "cython>=3", score=1000.0)
        _needing(session, "later", "cython", score=7.0)
        session.refresh(old)

        assert [item.score for item in (old, cython, elsewhere, urgent)] == [7.0, 1000.0, 5.0, 1000.0]


def test_a_requirement_that_is_decided_about_later_gets_the_score_with_the_next_sweep(database: Engine) -> None:
    with transaction(database) as session:
        _needing(session, "urgent", "cython", score=1000.0)
        cython = _queued(session, "cython", score=5.0)

        needs.sweep(session)

        assert cython.score == 1000.0


def test_what_a_person_holds_or_cancels_no_longer_comes_back_by_itself(database: Engine) -> None:
    with transaction(database) as session:
        cython = _queued(session, "cython")
        build = _needing(session, "demo", "cython")
        _end(session, cython, BuildState.FAILED)
        builds.move(session, build, BuildState.HELD, reason="held")
        builds.move(session, cython, BuildState.QUEUED, reason="a person asked for it")

        _end(session, cython, BuildState.PUBLISHED)

        assert _state(build) == ("held", "held")
