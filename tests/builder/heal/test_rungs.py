"""The remedies for a failure that need no index of Debian's packages, in their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from builder.heal.ladder import Failed
from builder.heal.rungs import Rungs
from schema.errors import JobError
from schema.jobs import BuildJob, Sdist
from schema.missing import Missing, MissingKind
from schema.names import Sha256, project_name
from schema.recipes import Recipe, Rule
from schema.remedies import Remedy, Rung, of_rule
from schema.states import FailureClass

UPLOADED = datetime(2019, 5, 6, tzinfo=UTC)


def job(*rules: Rule, uploaded_at: datetime | None = UPLOADED, **recipe: Any) -> BuildJob:
    sdist = Sdist(filename="demo-1.0.tar.gz", url="https://x.test/", sha256=Sha256("0" * 64), uploaded_at=uploaded_at)
    return BuildJob(
        build_id=1,
        fence=1,
        project=project_name("demo"),
        version="1.0",
        platform="debian12-x86_64-cp311",
        sdist=sdist,
        recipe=Recipe(**recipe),
        remedies=rules,
    )


def failed(failure_class: FailureClass, evidence: str = "it broke", *remedies: Remedy, log: str = "") -> Failed:
    error = JobError("it failed", failure_class=failure_class, evidence=evidence)
    return Failed(error=error, log=log or evidence, remedies=remedies)


def remedies_for(made: BuildJob, failure: Failed, *, older: bool = True) -> list[Remedy]:
    return list(Rungs(job=made, index=None, installed=frozenset(), older=older).candidates(failure))


def rule(**keys: Any) -> Rule:
    return Rule.parse({"id": "demo/one", "why": "it needs it", "after": ["build"], "jobs": 1, **keys})


def test_what_people_know_comes_first_where_class_and_log_fit() -> None:
    fits, other_class = rule(log="pwhash"), rule(id="demo/two", after=["tests"])
    other_log = rule(id="demo/three", log="something else")

    [first, *_] = remedies_for(job(other_class, other_log, fits), failed(FailureClass.BUILD, log="FAIL: pwhash\n"))

    assert first == of_rule(fits)


def test_a_rule_that_is_in_effect_is_not_tried_again() -> None:
    found = remedies_for(job(rule()), failed(FailureClass.BUILD, "x", of_rule(rule())))

    assert Rung.RULE not in {remedy.rung for remedy in found}


def test_a_rule_that_builds_another_version_is_not_the_nodes_to_follow() -> None:
    other = rule(build_instead="0.9", jobs=None)

    assert Rung.RULE not in {remedy.rung for remedy in remedies_for(job(other), failed(FailureClass.BUILD))}


def test_a_build_that_took_too_much_memory_compiles_one_file_at_a_time_once() -> None:
    [remedy] = remedies_for(job(), failed(FailureClass.MEMORY))

    assert (remedy.rung, remedy.jobs) == (Rung.MACHINE, 1)
    assert remedies_for(job(), failed(FailureClass.MEMORY, "x", remedy)) == []
    assert remedies_for(job(jobs=2), failed(FailureClass.MEMORY)) == []


@pytest.mark.parametrize(("module", "project"), [("Cython.Build", "cython"), ("numpy", "numpy"), ("evil", None)])
def test_a_module_that_sdists_are_known_to_forget_is_required_and_no_other(module: str, project: str | None) -> None:
    error = JobError(
        "it failed",
        failure_class=FailureClass.PYTHON_MODULE,
        lacks=(Missing(kind=MissingKind.PYTHON_MODULE, name=module),),
    )
    found = remedies_for(job(uploaded_at=None), Failed(error=error, log="", remedies=()))

    assert [remedy.build_requirements for remedy in found] == ([(project,)] if project else [])


def test_what_an_older_sdist_needs_is_tried_as_of_its_upload_then_by_known_pins() -> None:
    evidence = "AttributeError: 'build_ext' object has no attribute 'cython_sources'"
    found = remedies_for(job(), failed(FailureClass.REQUIREMENT_TOO_NEW, evidence))

    assert found[0].requirements_as_of_upload
    assert "2019-05-06" in found[0].why
    assert found[1].build_constraints == ("cython<3",)
    assert all(remedy.rung is Rung.REQUIREMENTS for remedy in found)


def test_without_the_time_of_the_upload_only_pins_are_tried() -> None:
    found = remedies_for(job(uploaded_at=None), failed(FailureClass.REQUIREMENT_TOO_NEW, "error: use_2to3 is invalid"))

    assert [remedy.build_constraints for remedy in found][:2] == [("setuptools<58",), ("setuptools<46",)]


def test_a_failure_that_tells_nothing_is_tried_as_of_the_upload_last() -> None:
    [only] = remedies_for(job(), failed(FailureClass.BUILD))

    assert only.requirements_as_of_upload
    assert remedies_for(job(requirements_as_of_upload=True), failed(FailureClass.BUILD)) == []


def test_build_requirements_are_left_alone_where_the_operator_says_so() -> None:
    assert remedies_for(job(), failed(FailureClass.REQUIREMENT_TOO_NEW), older=False) == []


@pytest.mark.parametrize(
    "failure_class", [FailureClass.WHEEL, FailureClass.IMPORT, FailureClass.DISK, FailureClass.REQUIREMENT]
)
def test_for_some_failures_only_people_know_something(failure_class: FailureClass) -> None:
    known = replace(rule(), after=(failure_class,))

    assert remedies_for(job(known), failed(failure_class)) == [of_rule(known)]
