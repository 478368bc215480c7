"""A build that failed is tried again inside its job, with what may heal it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builder.workshop import Workshop
from schema.errors import JobError
from schema.recipes import Recipe, Rule
from schema.remedies import Remedy, Rung
from schema.sections import HealSection
from schema.states import FailureClass
from tests.builder.pipeline.conftest import Attempts


@pytest.fixture
def workshop(workshop: Workshop) -> Workshop:
    """That heals, but asks Debian nothing."""
    return replace(workshop, heal=HealSection(debian=False))


def variable(name: str) -> Rule:
    return Rule.parse(
        {
            "id": f"needs-variable/{name.lower()}",
            "why": f"it needs {name}",
            "after": ["build"],
            "log": f"variable {name}",
            "environment": {name: "1"},
        }
    )


RULES = (variable("FIRST"), variable("SECOND"))


def test_rules_are_added_one_after_the_other_and_the_result_tells_each_try(attempt: Attempts) -> None:
    built = attempt("needs-variable", remedies=RULES)

    assert [remedy.rule for remedy in built.remedies] == ["needs-variable/first", "needs-variable/second"]
    assert built.recipe.rules == ("needs-variable/first", "needs-variable/second")
    assert (built.environment["FIRST"], built.environment["SECOND"]) == ("1", "1")
    assert [item.failure_class for item in built.tries] == [FailureClass.BUILD, FailureClass.BUILD, None]
    assert "needs the variable SECOND" in built.tries[1].evidence
    assert [item.helped for item in built.tries] == [False, True, True]


def test_the_line_of_each_tries_evidence_is_its_own_in_the_one_log(attempt: Attempts) -> None:
    built = attempt("needs-variable", remedies=RULES)

    lines = attempt.log.split("\n")
    first, second, _ = built.tries
    assert first.line is not None
    assert second.line is not None
    assert first.line < second.line
    assert first.evidence in lines[first.line - 1]
    assert second.evidence in lines[second.line - 1]


def test_the_steps_tell_what_is_tried_and_why(attempt: Attempts) -> None:
    attempt("needs-variable", remedies=RULES)

    names = [step.name for step in attempt.steps]
    assert names.count("unpack") == 3
    assert [step.note for step in attempt.steps if step.name == "heal"] == [
        "again: it needs FIRST",
        "again, with 2 remedies: it needs SECOND",
    ]


def test_each_try_begins_with_a_fresh_tree(attempt: Attempts) -> None:
    built = attempt("needs-variable", remedies=RULES)

    assert [path.name for path in built.wheel.parent.iterdir()] == ["needs_variable-1.0-py3-none-any.whl"]


def test_what_worked_before_gives_the_wheel_in_one_try(attempt: Attempts) -> None:
    built = attempt("needs-variable", remedies=RULES)
    again = attempt("needs-variable", known=built.remedies)

    assert [(item.from_memory, item.failure_class) for item in again.tries] == [(True, None)]
    assert again.facts.sha256 == built.facts.sha256


def test_what_worked_before_and_does_not_any_more_costs_one_try(attempt: Attempts) -> None:
    gone = Remedy(rung=Rung.MACHINE, why="one compile job", jobs=1)
    built = attempt("needs-variable", known=(gone,), remedies=RULES)

    assert [item.from_memory for item in built.tries] == [True, False, False, False]
    assert gone not in built.remedies


def test_a_build_that_nothing_heals_ends_with_its_own_failure_and_all_that_was_tried(attempt: Attempts) -> None:
    with pytest.raises(JobError) as caught:
        attempt("needs-variable", remedies=RULES[:1])

    assert "needs the variable SECOND" in caught.value.evidence
    assert [item.helped for item in caught.value.tries] == [False, True]
    assert caught.value.resources["wall_s"] > 0


def test_with_one_try_nothing_is_healed(attempt: Attempts) -> None:
    attempt.workshop = replace(attempt.workshop, heal=HealSection(tries=1))
    with pytest.raises(JobError, match="exit code"):
        attempt("needs-variable", remedies=RULES)


@pytest.mark.slow
def test_a_missing_header_is_found_in_debian_and_its_package_is_in_the_record(attempt: Attempts) -> None:
    attempt.workshop = replace(attempt.workshop, heal=HealSection())
    built = attempt("needs-ffi")

    [remedy] = built.remedies
    assert (remedy.rung, remedy.debian_packages) == (Rung.DEBIAN, ("libffi-dev",))
    assert "the header ffi.h is missing" in remedy.why
    assert "libffi-dev" in [item.name for item in built.materials if item.kind == "debian"]


@pytest.mark.slow
def test_a_log_that_names_two_missing_libraries_is_healed_by_the_packages_of_both_at_once(attempt: Attempts) -> None:
    attempt.workshop = replace(attempt.workshop, heal=HealSection())
    built = attempt("needs-two")

    [remedy] = built.remedies
    assert (remedy.rung, remedy.debian_packages) == (Rung.DEBIAN, ("libsodium-dev", "libyaml-dev"))
    assert [(item.failure_class, item.helped) for item in built.tries] == [
        (FailureClass.LIBRARY, False),
        (None, True),
    ]
    assert remedy.why.startswith("libsodium and libyaml are missing: libsodium-dev, it ships")


@pytest.mark.slow
def test_a_header_is_looked_for_in_no_other_package_once_a_wheel_came_of_the_first(attempt: Attempts) -> None:
    attempt.workshop = replace(attempt.workshop, heal=HealSection())
    with pytest.raises(JobError, match="undefined symbol: FIPS_mode") as caught:
        attempt("needs-openssl-1")

    # libwolfssl-dev ships a header of that name, too.
    assert [(item.failure_class, item.helped) for item in caught.value.tries] == [
        (FailureClass.HEADER, False),
        (FailureClass.IMPORT, True),
    ]
    assert caught.value.tries[1].added[0].debian_packages == ("libssl-dev",)


@pytest.mark.slow
def test_packages_that_are_too_large_are_not_downloaded_and_the_tries_tell(attempt: Attempts) -> None:
    attempt.workshop = replace(attempt.workshop, heal=HealSection(debian_bytes=1000))
    # Nothing else asks for an image with these two, so it must be made.
    with pytest.raises(JobError) as caught:
        attempt("needs-ffi", recipe=Recipe(debian_packages=("libmpc-dev",)))

    assert caught.value.failure_class is FailureClass.HEADER
    _, first, *others = caught.value.tries
    assert first.added[0].debian_packages == ("libffi-dev",)
    assert first.evidence.startswith("not added: libffi-dev and what they need are 0.1 MiB to download")
    assert first.evidence.endswith("heal.debian_bytes allows 0.0 MiB")
    assert not any(item.helped for item in (first, *others))


@pytest.mark.slow
def test_a_header_that_no_package_ships_stays_the_failure(attempt: Attempts) -> None:
    attempt.workshop = replace(attempt.workshop, heal=HealSection())
    with pytest.raises(JobError) as caught:
        attempt("build-fails")

    assert caught.value.failure_class is FailureClass.HEADER
    assert len(caught.value.tries) == 1
