"""The score: a sum, in which more of a good reason never counts for less."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema import score
from schema.score import Facts, Weights

NOW = datetime(2026, 11, 26, tzinfo=UTC)

weights = st.builds(Weights, **{name: st.integers(0, 10_000) for name in Weights.__dataclass_fields__})
counts = st.integers(0, 10**10)
facts = st.builds(
    Facts,
    origin=st.sampled_from(score.ORIGINS),
    created_at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    boost=st.floats(-1e6, 1e6),
    dependents=counts,
    downloads=counts,
    behind=st.integers(0, 10_000),
    native=st.sampled_from([True, False, None]),
    expected_s=st.none() | st.floats(0, 1e6),
    failures=st.integers(0, 100),
)


def points(name: str, at: datetime = NOW, **values: Any) -> float:
    found = score.terms(Facts(**{"origin": "scope", "created_at": NOW, **values}), Weights(), at=at)
    return next(term.points for term in found if term.name == name)


@given(facts, weights)
def test_the_score_is_the_sum_of_its_terms(one: Facts, by: Weights) -> None:
    found = score.terms(one, by, at=NOW)

    assert score.total(found) == pytest.approx(sum(term.points for term in found), abs=1e-3)
    assert all(term.because for term in found)


@given(facts, weights, counts, counts)
def test_more_dependents_and_downloads_never_count_for_less(one: Facts, by: Weights, more: int, most: int) -> None:
    better = replace(one, dependents=one.dependents + more, downloads=one.downloads + most)

    assert score.stored(better, by) >= score.stored(one, by) - 1e-6


@given(facts, weights, st.integers(0, 100), st.integers(0, 100))
def test_an_older_release_and_another_failure_never_count_for_more(
    one: Facts, by: Weights, behind: int, failures: int
) -> None:
    worse = replace(one, behind=one.behind + behind, failures=one.failures + failures)

    assert score.stored(worse, by) <= score.stored(one, by) + 1e-6


@given(facts, weights, st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_longer_build_never_counts_for_more(one: Facts, by: Weights, short_s: float, more_s: float) -> None:
    short, longer = replace(one, expected_s=short_s), replace(one, expected_s=short_s + more_s)

    assert score.stored(longer, by) <= score.stored(short, by) + 1e-6


@given(facts, facts, weights, st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_time_alone_never_changes_which_of_two_is_first(one: Facts, other: Facts, by: Weights, at: datetime) -> None:
    def total(which: Facts) -> float:
        return score.total(score.terms(which, by, at=at))

    between = score.stored(one, by) - score.stored(other, by)

    assert total(one) - total(other) == pytest.approx(between, abs=1e-3, rel=1e-6)


def test_whoever_waits_long_enough_comes_before_everybody_who_comes_later() -> None:
    waited = NOW + timedelta(days=10_000)
    by = Weights()
    forgotten = Facts(origin="scope", created_at=NOW, behind=50, native=False, expected_s=1e6, failures=5)
    favourite = Facts(origin="person", created_at=waited, dependents=10**6, downloads=10**10, native=True)

    assert score.stored(forgotten, by) > score.stored(favourite, by)


def test_people_come_before_lists_and_lists_before_requirements() -> None:
    found = [points("asked", origin=origin) for origin in score.ORIGINS]

    assert found == sorted(found, reverse=True)
    assert score.stronger("dependency", "list") == "list"


def test_compiled_comes_before_unknown_and_unknown_before_pure() -> None:
    assert points("native", native=True) > points("native", native=None) > points("native", native=False)


def test_terms_are_bounded() -> None:
    assert points("release", behind=10) == points("release", behind=10_000)
    assert points("retry", failures=5) == points("retry", failures=1000)
    assert 0 < points("short", expected_s=1e9) < points("short", expected_s=0) == Weights().short


def test_a_weight_of_nothing_switches_its_term_off() -> None:
    off = Weights(**dict.fromkeys(Weights.__dataclass_fields__, 0))

    found = score.terms(Facts(origin="person", created_at=NOW, downloads=7, failures=3, behind=2), off, at=NOW)

    assert score.total(found) == 0
