from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from master.dispatch import Dispatcher
from schema.db.models import Build
from schema.db.session import transaction
from schema.jobs import BuildJob, Limits
from schema.recipes import Recipe
from schema.sections import BundleSection
from schema.states import AttemptOutcome, BuildState, Bundle, FailureClass
from tests import rows

DISPATCHER = Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90, silent_after_s=15)


def test_the_most_urgent_build_goes_first_and_no_slot_gets_two(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session, slots=2)
        for name, score in (("later", 20), ("sooner", 30), ("last", 0)):
            rows.build(session, rows.project(session, name), score=score)

        jobs = DISPATCHER.dispatch(session)

        assert [(node, job.project) for node, job in jobs] == [("n1", "sooner"), ("n1", "later")]
        assert DISPATCHER.dispatch(session) == []


def test_a_job_carries_the_fence_of_its_lease(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session)
        build = rows.build(session)

        [(_, job)] = DISPATCHER.dispatch(session)

        assert (job.build_id, job.fence) == (build.id, 1)
        assert session.get_one(Build, build.id).state == BuildState.LEASED


def test_a_silent_a_draining_and_a_foreign_node_get_nothing(database: Engine) -> None:
    with transaction(database) as session:
        rows.build(session)
        rows.node(session, "silent", silent_s=60)
        rows.node(session, "draining", state="draining")
        rows.node(session, "foreign", platforms=["debian12-aarch64-cp311"])

        assert DISPATCHER.dispatch(session) == []


def test_a_slot_that_emulates_comes_after_one_that_does_not(database: Engine) -> None:
    arm = "debian12-aarch64-cp311"
    with transaction(database) as session:
        rows.node(session, "a-server", platforms=[rows.PLATFORM, arm], emulated=[arm], slots=2)
        rows.node(session, "b-board", platforms=[arm], slots=1)
        for name, score in (("first", 9), ("second", 8), ("third", 7)):
            rows.build(session, rows.project(session, name), platform=arm, score=score)
        rows.build(session, rows.project(session, "here"), score=1)

        jobs = DISPATCHER.dispatch(session)

        assert sorted((node, job.project) for node, job in jobs) == [
            ("a-server", "here"),
            ("a-server", "second"),
            ("b-board", "first"),
        ]


def test_what_only_an_emulator_offers_is_built_by_its_score_like_anything_else(database: Engine) -> None:
    arm = "debian12-aarch64-cp311"
    with transaction(database) as session:
        rows.node(session, "server", platforms=[rows.PLATFORM, arm], emulated=[arm], slots=1)
        rows.node(session, "board", platforms=[arm], slots=1, silent_s=60)
        for name, platform, score in (("here", rows.PLATFORM, 1), ("there", arm, 2), ("more", rows.PLATFORM, 1)):
            rows.build(session, rows.project(session, name), platform=platform, score=score)

        assert [(node, job.project) for node, job in DISPATCHER.dispatch(session)] == [("server", "there")]


def test_a_build_that_failed_on_a_node_is_left_to_the_others(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session, "n1")
        build = rows.build(session)
        rows.attempt(session, build, node="n1", outcome=AttemptOutcome.FAILED, failure_class=FailureClass.BUILD)

        assert DISPATCHER.dispatch(session) == []

        rows.node(session, "n2")
        assert [node for node, _ in DISPATCHER.dispatch(session)] == ["n2"]


def test_what_is_grafted_into_wheels_is_set_by_platform_and_a_recipe_wins(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text('[[rule]]\nid = "whole"\nwhy = "people copy it"\nbundle = "always"\n')
    set_so = BundleSection(never=("debian11-*",), when_missing=("debian1?-*",))
    dispatcher = replace(DISPATCHER, recipe_folders=(tmp_path,), bundle=set_so)
    with transaction(database) as session:
        rows.node(session, slots=3)
        rows.build(session, rows.project(session, "small"))
        rows.build(session, rows.project(session, "other"))

        jobs = {str(job.project): job for _, job in dispatcher.dispatch(session)}

        assert (jobs["small"].recipe.bundle, jobs["other"].recipe.bundle) == (Bundle.ALWAYS, Bundle.WHEN_MISSING)
        assert jobs["other"].recipe.rules == ()
        assert BuildJob.from_json(jobs["other"].to_json()) == jobs["other"]


def test_a_faulty_recipe_holds_its_own_build_and_no_other(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("nonsense = true\n")
    dispatcher = replace(DISPATCHER, recipe_folders=(tmp_path,))
    with transaction(database) as session:
        rows.node(session, slots=3)
        broken = rows.build(session, rows.project(session, "broken"))
        rows.build(session, rows.project(session, "sound"))

        assert [job.project for _, job in dispatcher.dispatch(session)] == ["sound"]

        assert broken.state == BuildState.HELD
        assert "broken.toml" in broken.reason


RULES = """
[[rule]]
id = "headers"
why = "its headers"
debian_packages = ["libdemo-dev"]

[[rule]]
id = "other-version"
why = "only the old one needs it"
versions = "<1.0"
debian_packages = ["libold-dev"]

[[rule]]
id = "expired"
why = "it was so"
expires = 2020-01-01
debian_packages = ["libold-dev"]

[[rule]]
id = "older"
why = "the new one fails"
after = ["build"]
build_instead = "0.9"

[[rule]]
id = "elsewhere"
why = "it needs it there"
platforms = ["debian13-*"]
after = ["build"]
jobs = 1
"""


def test_a_job_carries_the_rules_that_hold_and_those_that_may_after_a_failure(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_text(RULES)
    dispatcher = replace(DISPATCHER, recipe_folders=(tmp_path,))
    with transaction(database) as session:
        rows.node(session)
        rows.build(session)

        [(_, job)] = dispatcher.dispatch(session)

        assert job.recipe == Recipe(debian_packages=("libdemo-dev",), rules=("demo/headers",))
        assert [rule.id for rule in job.remedies] == ["demo/older"]
        assert BuildJob.from_json(job.to_json()) == job


def test_what_a_rule_says_not_to_build_is_not_given_out(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_text('[[rule]]\nid = "one"\nwhy = "it needs a board"\ndo_not_build = true\n')
    dispatcher = replace(DISPATCHER, recipe_folders=(tmp_path,))
    with transaction(database) as session:
        rows.node(session)
        build = rows.build(session)

        assert dispatcher.dispatch(session) == []

        assert build.state == BuildState.FAILED
        assert build.reason == "a rule keeps it from being built: demo/one: it needs a board"


def test_a_build_that_a_rule_calls_large_waits_for_a_node_that_has_room(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_text('[[rule]]\nid = "one"\nwhy = "its linker"\nmemory = "huge"\n')
    dispatcher = replace(DISPATCHER, recipe_folders=(tmp_path,))
    with transaction(database) as session:
        rows.node(session, "small", memory_bytes=4 * 2**30)
        rows.build(session, size=1)
        assert dispatcher.dispatch(session) == []
        assert dispatcher.dispatch(session) == []

        rows.node(session, "big", memory_bytes=64 * 2**30)
        [(node, job)] = dispatcher.dispatch(session)

        assert (node, job.recipe.memory) == ("big", "huge")


@pytest.mark.parametrize(("queued", "first"), [(4, "p3"), (3, "p0")])
def test_the_score_decides_until_the_queue_is_too_short_to_fill_the_slots_twice(
    database: Engine, queued: int, first: str
) -> None:
    with transaction(database) as session:
        rows.node(session, "n1")
        rows.node(session, "n2")
        for number in range(queued):
            project = rows.project(session, f"p{number}")
            rows.build(session, project, score=float(number), expected_s=1000.0 - number)

        [(_, job), _] = DISPATCHER.dispatch(session)

        assert job.project == first


def test_the_sizes_of_what_runs_and_the_memory_of_the_node_decide_what_is_added(database: Engine) -> None:
    with transaction(database) as session:
        rows.node(session, slots=4, memory_bytes=4 * 2**30)
        rows.build(session, rows.project(session, "one"), size=2, score=3.0)
        rows.build(session, rows.project(session, "two"), size=2, score=2.0)
        rows.build(session, rows.project(session, "small"), size=0, score=1.0)

        assert [job.project for _, job in DISPATCHER.dispatch(session)] == ["one", "small"]
        assert DISPATCHER.dispatch(session) == []
