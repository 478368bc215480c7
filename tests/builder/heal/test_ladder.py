"""What is tried next, and which failure a build ends with that nothing heals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from builder.heal.ladder import Failed, Ladder
from schema.errors import JobError, PackagesError
from schema.missing import Missing, MissingKind
from schema.remedies import Remedy, Rung
from schema.states import FailureClass


def lacks(*names: str) -> JobError:
    return JobError(
        f"{names} are missing",
        failure_class=FailureClass.HEADER,
        evidence=f"demo.c:1: fatal error: {names[0]}: No such file",
        line=12,
        lacks=tuple(Missing(kind=MissingKind.HEADER, name=name) for name in names),
    )


def broken(evidence: str, failure_class: FailureClass = FailureClass.BUILD) -> JobError:
    return JobError(evidence, failure_class=failure_class, evidence=evidence)


def unimportable(reason: str = "ImportError: demo.so: undefined symbol: gone") -> JobError:
    return broken(reason, FailureClass.IMPORT)


def package(name: str, rung: Rung = Rung.DEBIAN) -> Remedy:
    return Remedy(rung=rung, why=f"needs {name}", debian_packages=(name,))


def ladder(known: Mapping[str, Sequence[Remedy]], *, memory: Sequence[Remedy] = (), most: int = 20) -> Ladder:
    """One that knows remedies by what is missing, or by the evidence."""

    def candidates(failed: Failed) -> Iterator[Remedy]:
        error = failed.error
        yield from known.get(" ".join(item.name for item in error.lacks) or error.evidence, ())

    return Ladder(candidates=candidates, known=tuple(memory), most=most)


def fails(found: Ladder, error: JobError, *, left_s: float = 1000.0) -> list[str] | None:
    """The packages of the next try; None if there is none."""
    again = found.failed(error, log="", seconds=1.0, left_s=left_s)
    return [name for remedy in found.remedies for name in remedy.debian_packages] if again else None


def test_a_remedy_after_which_something_else_is_missing_is_kept() -> None:
    found = ladder({"a.h": [package("a-dev")], "b.h": [package("b-dev")]})

    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, lacks("b.h")) == ["a-dev", "b-dev"]
    found.built(seconds=2.0)
    assert [item.helped for item in found.tries] == [False, True, True]
    assert [item.failure_class for item in found.tries] == [FailureClass.HEADER, FailureClass.HEADER, None]


def test_a_remedy_that_changes_nothing_is_dropped_for_the_next() -> None:
    found = ladder({"a.h": [package("wrong-dev"), package("right-dev")]})

    assert fails(found, lacks("a.h")) == ["wrong-dev"]
    assert fails(found, lacks("a.h")) == ["right-dev"]
    found.built(seconds=1.0)
    assert [item.helped for item in found.tries] == [False, False, True]


def test_a_remedy_after_which_fewer_things_are_missing_is_kept() -> None:
    found = ladder({"a.h b.h": [package("a-dev")], "b.h": [package("b-dev")]})

    assert fails(found, lacks("a.h", "b.h")) == ["a-dev"]
    assert fails(found, lacks("b.h")) == ["a-dev", "b-dev"]


def test_the_same_things_missing_in_another_order_are_the_same_failure() -> None:
    found = ladder({"a.h b.h": [package("a-dev"), package("c-dev")]})

    assert fails(found, lacks("a.h", "b.h")) == ["a-dev"]
    assert fails(found, lacks("b.h", "a.h")) == ["c-dev"]


def test_numbers_and_digests_do_not_make_another_failure() -> None:
    found = ladder({"line 1, /tmp/0a1b2c3d": [package("a-dev")]})

    assert fails(found, broken("line 1, /tmp/0a1b2c3d")) == ["a-dev"]
    assert fails(found, broken("line 27, /tmp/ffee0011")) is None


def test_where_a_way_ends_the_other_remedies_of_the_earlier_failure_are_tried() -> None:
    found = ladder({"a.h": [package("a1-dev"), package("a2-dev")]})

    assert fails(found, lacks("a.h")) == ["a1-dev"]
    assert fails(found, broken("a dead end")) == ["a2-dev"]
    assert fails(found, broken("another dead end")) is None


def test_once_a_whole_wheel_came_of_what_was_missing_nothing_else_is_tried_for_it() -> None:
    others = [package("wolf-dev"), package("a-dev", Rung.BUILD_DEPENDS)]
    found = ladder({"a.h": [package("a-dev"), *others], "b.h": [package("b-dev"), package("b2-dev")]})

    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, lacks("b.h")) == ["a-dev", "b-dev"]
    assert fails(found, unimportable()) is None
    assert found.verdict.failure_class is FailureClass.IMPORT


def test_a_whole_wheel_that_fails_as_one_before_it_ends_what_is_left_to_try_too() -> None:
    rules = [Remedy(rung=Rung.RULE, why="w", rule="demo/one", debian_packages=("r-dev",))]
    found = ladder({"a.h": [*rules, package("a-dev"), package("wolf-dev")]})

    assert fails(found, lacks("a.h")) == ["r-dev"]
    assert fails(found, unimportable()) == ["a-dev"]
    assert fails(found, unimportable()) is None


def test_what_heals_a_wheel_that_does_not_import_is_added_to_what_gave_the_wheel() -> None:
    found = ladder({"a.h": [package("a-dev"), package("wolf-dev")], "no libz": [package("z-dev"), package("y-dev")]})

    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, unimportable("no libz")) == ["a-dev", "z-dev"]
    assert fails(found, unimportable("no libz")) == ["a-dev", "y-dev"]
    found.built(seconds=1.0)
    assert [item.helped for item in found.tries] == [False, True, False, True]


@pytest.mark.parametrize(
    "failure",
    [
        broken("undefined reference to a_new", FailureClass.SOURCE),
        broken("A-13: reduced build: no file in it is compiled", FailureClass.WHEEL),
        unimportable("ModuleNotFoundError: No module named 'demo._fast'"),
    ],
    ids=lambda error: error.failure_class,
)
def test_after_the_wrong_package_linking_fails_or_something_is_left_out_so_the_next_is_tried(failure: JobError) -> None:
    found = ladder({"a.h": [package("wolf-dev"), package("a-dev")]})

    assert fails(found, lacks("a.h")) == ["wolf-dev"]
    assert fails(found, failure) == ["a-dev"]


def test_of_several_things_that_were_missing_one_may_still_be_although_there_is_a_wheel() -> None:
    found = ladder({"a.h b.h": [package("a-dev"), package("b-dev")]})

    assert fails(found, lacks("a.h", "b.h")) == ["a-dev"]
    assert fails(found, unimportable()) == ["b-dev"]


def test_a_wheel_of_older_build_requirements_does_not_prove_that_they_were_the_right_ones() -> None:
    older, other = (
        Remedy(rung=Rung.REQUIREMENTS, why="w", requirements_as_of_upload=True),
        Remedy(rung=Rung.REQUIREMENTS, why="w", build_constraints=("cython<3",)),
    )
    found = ladder({"too new": [older, other], "a.h": [package("a-dev"), package("wolf-dev")]})

    assert fails(found, broken("too new")) == []
    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, unimportable()) == []
    assert found.remedies == (other,)


def test_a_requirement_that_was_forgotten_and_led_to_a_wheel_was_the_right_one() -> None:
    numpy = Remedy(rung=Rung.REQUIREMENTS, why="w", build_requirements=("numpy",))
    found = ladder({"numpy": [numpy, package("python3-numpy")]})

    assert fails(found, lacks("numpy")) == []
    assert fails(found, unimportable()) is None


def test_what_adds_up_to_an_earlier_try_by_another_way_is_not_tried_again() -> None:
    both = Remedy(rung=Rung.BUILD_DEPENDS, why="w", debian_packages=("b-dev", "a-dev"))
    found = ladder({"a.h": [package("a-dev"), both, package("c-dev")], "b.h": [package("b-dev")]})

    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, lacks("b.h")) == ["a-dev", "b-dev"]
    assert fails(found, broken("a dead end")) == ["c-dev"]


def test_a_remedy_that_changes_nothing_of_the_build_that_failed_is_passed_over() -> None:
    found = ladder({"a.h": [package("a-dev")], "b.h": [package("a-dev", Rung.BUILD_DEPENDS), package("b-dev")]})

    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, lacks("b.h")) == ["a-dev", "b-dev"]


def test_what_worked_before_and_failed_may_still_be_what_the_bare_build_is_led_to() -> None:
    found = ladder({"a.h": [package("a-dev")]}, memory=[package("a-dev")])

    assert fails(found, unimportable()) == []
    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, unimportable()) is None
    assert found.verdict.failure_class is FailureClass.IMPORT


def test_a_failure_that_comes_again_further_down_is_not_healed_twice() -> None:
    found = ladder({"a.h": [package("a-dev")], "b.h": [package("b-dev")]})

    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, lacks("b.h")) == ["a-dev", "b-dev"]
    assert fails(found, lacks("a.h")) is None


def test_the_build_ends_with_the_failure_that_was_reached_by_what_was_missing() -> None:
    found = ladder(
        {"a.h": [package("a-dev")], "broken": [Remedy(rung=Rung.REQUIREMENTS, why="w", build_constraints=("x<1",))]}
    )

    assert fails(found, lacks("a.h")) == ["a-dev"]
    assert fails(found, broken("broken")) == ["a-dev"]
    assert fails(found, broken("only a consequence of older build requirements")) is None
    assert str(found.verdict) == "broken"


def test_a_requirement_that_was_forgotten_counts_as_what_was_missing() -> None:
    found = ladder({"no numpy": [Remedy(rung=Rung.REQUIREMENTS, why="w", build_requirements=("numpy",))]})

    fails(found, broken("no numpy"))
    fails(found, broken("its own code does not compile"))
    assert str(found.verdict) == "its own code does not compile"


def test_the_first_failure_stands_where_nothing_helped() -> None:
    found = ladder({"first": [package("a-dev", Rung.BUILD_DEPENDS)]})

    fails(found, broken("first"))
    fails(found, broken("second"))
    assert str(found.verdict) == "first"


def test_what_worked_before_is_in_effect_in_the_first_try() -> None:
    found = ladder({}, memory=[package("a-dev")])

    assert found.remedies == (package("a-dev"),)
    found.built(seconds=1.0)
    assert [(item.from_memory, item.helped) for item in found.tries] == [(True, True)]


def test_what_worked_before_is_dropped_as_a_whole_when_it_fails_and_its_failure_says_nothing() -> None:
    found = ladder({"a.h": [package("a-dev")]}, memory=[package("old-dev"), package("older-dev")])

    assert fails(found, lacks("a.h")) == []
    assert fails(found, lacks("a.h")) == ["a-dev"]
    fails(found, broken("end"))
    assert [(item.from_memory, item.helped) for item in found.tries] == [(True, False), (False, False), (False, True)]


@pytest.mark.parametrize("final", [FailureClass.CANCELLED, FailureClass.SDIST, FailureClass.TIMEOUT, FailureClass.LOG])
def test_after_some_failures_nothing_is_tried(final: FailureClass) -> None:
    found = ladder({"over": [package("a-dev")]})

    assert fails(found, broken("over", final)) is None
    assert found.verdict.failure_class is final


def test_a_cancelled_build_ends_as_cancelled_whatever_failed_before() -> None:
    found = ladder({"a.h": [package("a-dev")]})

    fails(found, lacks("a.h"))
    fails(found, broken("cancelled", FailureClass.CANCELLED))
    assert found.verdict.failure_class is FailureClass.CANCELLED


def test_a_remedy_whose_packages_cannot_be_had_is_dropped_and_is_not_what_the_build_ends_with() -> None:
    found = ladder({"a.h": [package("huge-dev"), package("a-dev")]})

    assert fails(found, lacks("a.h")) == ["huge-dev"]
    assert fails(found, PackagesError("not added: huge-dev is too large")) == ["a-dev"]
    assert fails(found, lacks("a.h")) is None
    assert [(item.helped, item.evidence) for item in found.tries][1] == (False, "not added: huge-dev is too large")
    assert found.verdict.failure_class is FailureClass.HEADER


def test_packages_of_the_recipe_that_cannot_be_had_are_what_the_build_ends_with() -> None:
    found = ladder({})

    assert fails(found, PackagesError("no package libgone-dev")) is None
    assert str(found.verdict) == "no package libgone-dev"


def test_there_are_so_many_tries_and_no_more() -> None:
    found = ladder({"a.h": [package("a1"), package("a2"), package("a3")]}, most=3)

    assert [fails(found, lacks("a.h")) for _ in range(3)] == [["a1"], ["a2"], None]
    assert len(found.tries) == 3


def test_no_try_begins_that_could_not_run_as_long_as_the_one_before() -> None:
    assert fails(ladder({"a.h": [package("a-dev")]}), lacks("a.h"), left_s=0.5) is None


def test_each_try_tells_the_evidence_and_its_line() -> None:
    found = ladder({})
    fails(found, lacks("a.h"))

    [only] = found.tries
    assert (only.evidence, only.line, only.seconds) == ("demo.c:1: fatal error: a.h: No such file", 12, 1.0)
