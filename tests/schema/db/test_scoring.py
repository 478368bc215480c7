"""The score as the database keeps it: what changes it, on what it rests, and who is told."""

from __future__ import annotations

from packaging.requirements import Requirement
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from master import builds, requests, rescore
from schema import score
from schema.db import scoring
from schema.db.models import Build, Project
from schema.db.session import now, transaction
from schema.names import NodeName
from schema.score import Weights
from schema.states import BuildState
from tests import rows

OTHER = "debian13-x86_64-cp313"


def terms(session: Session, build: Build) -> dict[str, float]:
    return {term.name: term.points for term in scoring.explain(session, build, now=now(session))}


def wheel_upstream(session: Session, project: Project, filename: str) -> None:
    row = rows.sdist(session, project, "0.1")
    row.filename, row.kind = filename, "wheel"
    session.flush()


def test_the_stored_score_and_the_explained_one_differ_by_time_alone(database: Engine) -> None:
    with transaction(database) as session:
        first, second = rows.build(session, origin="person"), rows.build(session, rows.project(session, "other"))
        scoring.rescore(session, [first, second])
        moment = now(session)
        explained = [score.total(scoring.explain(session, build, now=moment)) for build in (first, second)]

        assert abs((first.score - second.score) - (explained[0] - explained[1])) < 1e-6
        assert first.score > second.score


def test_an_older_release_counts_less_on_its_own_platform(database: Engine) -> None:
    with transaction(database) as session:
        project = rows.project(session)
        found = [rows.build(session, project, version=version) for version in ("1.9", "1.10", "2.0")]
        elsewhere = rows.build(session, project, version="1.8", platform=OTHER)
        scoring.rescore(session, [*found, elsewhere])

        assert [terms(session, build)["release"] for build in found] == [-40, -20, 0]
        assert terms(session, elsewhere)["release"] == 0


def test_downloads_dependents_and_boost_count(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, boost=7.0)
        build.project.downloads, build.project.dependents = 999, 9
        session.flush()

        found = terms(session, build)

        assert (found["boost"], found["downloads"], found["dependents"]) == (7.0, 60.0, 50.0)


def test_what_is_waited_for_is_as_urgent_as_what_waits_and_says_so(database: Engine) -> None:
    with transaction(database) as session:
        needed = rows.build(session, rows.project(session, "needed"), origin="dependency")
        scoring.rescore(session, [needed])
        needed.score += 800.0
        session.flush()
        assert "waited for" not in terms(session, needed)

        rows.build(session, state=BuildState.WAITING, waits_for=needed.project_id)

        assert round(terms(session, needed)["waited for"]) == 800


def test_compiled_wheels_upstream_make_a_project_native_and_pure_ones_do_not(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)

        def native() -> float:
            scoring.rescore(session, [build])
            return terms(session, build)["native"]

        assert native() == 20

        wheel_upstream(session, build.project, "demo-0.1-py3-none-any.whl")
        assert native() == 0

        wheel_upstream(session, build.project, "demo-0.1-cp311-cp311-manylinux_2_17_x86_64.whl")
        assert native() == 40


def test_a_score_is_explained_without_a_look_at_the_other_releases_of_its_project(database: Engine) -> None:
    asked: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *args: asked.append(args[2]))
    with transaction(database) as session:
        project = rows.project(session)
        found = [rows.build(session, project, version=f"1.{number}") for number in range(3)]
        scoring.rescore(session, found)
        asked.clear()

        why = scoring.explain_all(session, found, now=now(session))

    releases = [term.points for build in found for term in why[build.id] if term.name == "release"]
    assert releases == [-40, -20, 0]
    assert not any("upstream_files" in text or "FROM wheels" in text or "DISTINCT" in text for text in asked)


def test_a_lost_attempt_counts_against_the_build_until_a_person_pardons_it(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        scoring.rescore(session, [build])
        before = build.score

        rows.lease(session, build, node=NodeName("n1"), lease_s=90)
        assert terms(session, build)["retry"] == 0
        builds.give_back(session, build, why="it went silent")

        assert (terms(session, build)["retry"], build.score) == (-50, before - 50)


def test_who_needs_a_project_is_counted_once_whatever_the_number_of_its_releases(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)
        for because in ("One 1.0 needs it", "One 1.1 needs it to build", "Two 3.0 needs it"):
            requests.add(session, Requirement("demo"), origin="dependency", because=because)

        scoring.rescore_project(session, build.project_id)

        assert build.project.dependents == 2


def test_a_build_is_taken_to_be_what_the_last_of_its_project_was(database: Engine) -> None:
    with transaction(database) as session:
        project, moment = rows.project(session), now(session)
        rows.build(
            session, project, version="1.0", state=BuildState.PUBLISHED, size=2, expected_s=900.0, leased_at=moment
        )
        same = rows.build(session, project, version="1.1")
        elsewhere = rows.build(session, project, version="1.2", platform=OTHER)
        unknown = rows.build(session, rows.project(session, "other"))

        scoring.rescore(session, [same, elsewhere, unknown])

        assert [(build.size, build.expected_s) for build in (same, elsewhere)] == [(2, 900.0)] * 2
        assert (unknown.size, unknown.expected_s) == (1, None)


def test_what_a_build_needed_itself_counts_before_what_others_needed(database: Engine) -> None:
    with transaction(database) as session:
        project = rows.project(session)
        rows.build(session, project, version="1.0", size=0, expected_s=9.0, leased_at=now(session))
        grown = rows.build(session, project, version="1.1", size=3)
        rows.attempt(session, grown, outcome="failed", failure_class="memory")

        scoring.rescore(session, [grown])

        assert (grown.size, grown.expected_s) == (3, None)


def test_new_weights_reach_every_open_build_and_the_walk_goes_on_after_a_restart(database: Engine) -> None:
    with transaction(database) as session:
        project = rows.project(session)
        for number in range(5):
            rows.build(
                session, project, version=f"1.{number}", state=("queued", "waiting")[number % 2], origin="person"
            )
        rows.build(session, project, version="9", state="failed", score=5.0)
    weights = Weights(person=123, older=0, day=0, native=0, short=0)

    turns = [rescore.Walk(weights).turn(database) for _ in range(3)]

    assert turns == [2, 3, 0]
    with transaction(database) as session:
        found = session.scalars(select(Build.score).order_by(Build.id)).all()
        assert (found, scoring.weights(session)) == ([123.0] * 5 + [5.0], weights)


def test_a_walk_that_is_done_asks_the_database_nothing(database: Engine) -> None:
    walk = rescore.Walk(Weights())
    assert walk.turn(database) == 0
    database.dispose()

    with transaction(database) as session:
        rows.build(session)
    assert walk.turn(database) == 0


def test_weights_of_a_newer_farm_are_read_as_far_as_they_are_known() -> None:
    assert scoring.read('{"person": 7, "moon": 3}') == Weights(person=7)


def test_what_a_build_took_is_known_of_it_and_expected_of_what_is_still_to_be_built(database: Engine) -> None:
    took = {"peak_memory_bytes": 2.0 * 2**30, "disk_bytes": 1e6, "wall_s": 600.0}
    with transaction(database) as session:
        project = rows.project(session)
        done, queued = rows.build(session, project), rows.build(session, project, version="2.0")
        rows.lease(session, done, node=NodeName("n1"), lease_s=90)

        scoring.learn(session, done, took, built=True)

        assert [(build.size, build.expected_s) for build in (done, queued)] == [(2, 600.0)] * 2
        assert terms(session, queued)["short"] == 20


def test_an_attempt_that_failed_makes_a_build_larger_and_never_smaller(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session)

        scoring.learn(session, build, {"peak_memory_bytes": 1e6, "wall_s": 3.0}, built=False)
        assert (build.size, build.expected_s) == (1, None)

        scoring.learn(session, build, {"peak_memory_bytes": 3e9, "wall_s": 3.0}, built=False)
        assert (build.size, build.expected_s) == (3, None)
