"""Which build is next: a score that is a plain sum of terms, so that anybody can see why one build is before another.

Higher is sooner. Every term but age is bounded for what the world holds; age is not, so that nothing starves. Age is
measured from the moment that a build was made: the order of two builds never changes by waiting, and no row is ever
written for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

# Who asked, the strongest first.
ORIGINS: Final = ("person", "list", "demand", "dependency", "scope", "repeat")

# Stored scores measure age at this moment: before it, where builds are concerned, so the term is negative.
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)

# What people may add to a score, or take from it.
MOST_BOOST: Final = 1_000_000.0

_MOST_RELEASES = 10
_MOST_FAILURES = 5
_HALF_S = 600.0
_DAY_S = 86400.0
_ASKED = {
    "person": "a person asked for it",
    "list": "a list names it",
    "demand": "a client asked for it",
    "dependency": "a wheel needs it",
    "scope": "the farm wants it by itself",
    "repeat": "it only repeats a build that is published",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Points for each reason to build something sooner; 0 switches a term off.

    person, list, demand, dependency, scope: the strongest origin of those who asked counts
    dependents, downloads: for each factor of ten in their number
    older: taken off for each newer release that is wanted too, at most ten
    native: for a project with compiled wheels; half where no wheel is known, none for a pure one
    short: for a build that takes no time; half of it at ten minutes, or where nobody knows
    day: for each day since the build was made
    retry: taken off for each attempt that ended without a wheel, at most five
    repeat: taken off of a build that only repeats another; more than all else together, so that it delays none
    """

    person: int = 1000
    list: int = 500
    demand: int = 400
    dependency: int = 200
    scope: int = 0
    dependents: int = 50
    downloads: int = 20
    older: int = 20
    native: int = 40
    short: int = 40
    day: int = 5
    retry: int = 50
    repeat: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a score is made of.

    origin: the strongest of those who asked; boost: an operator's points
    dependents: projects of the farm that need it; downloads: of the imported ranking
    behind: newer releases of the project that are wanted on the same platform
    native: whether a wheel of the project is compiled; None where no wheel is known
    expected_s: how long it takes; None where nobody knows
    failures: attempts without a wheel that count against it
    """

    origin: str
    created_at: datetime
    boost: float = 0.0
    dependents: int = 0
    downloads: int = 0
    behind: int = 0
    native: bool | None = None
    expected_s: float | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One summand, and why it is as it is."""

    name: str
    points: float
    because: str


def terms(facts: Facts, weights: Weights, *, at: datetime) -> tuple[Term, ...]:
    """Every term of the score at the time *at*; those of other times differ by the same points for all builds."""
    days = (at - facts.created_at).total_seconds() / _DAY_S
    return (
        Term(name="asked", points=_asked(facts.origin, weights), because=_ASKED[facts.origin]),
        Term(name="boost", points=facts.boost, because="an operator's wish" if facts.boost else "no operator's wish"),
        Term(
            name="dependents",
            points=weights.dependents * math.log10(1 + facts.dependents),
            because=f"projects of the farm that need it: {facts.dependents:,}",
        ),
        Term(
            name="downloads",
            points=weights.downloads * math.log10(1 + facts.downloads),
            because=f"downloads: {facts.downloads:,}" if facts.downloads else "no ranking names it",
        ),
        Term(
            name="release",
            points=-float(weights.older * min(facts.behind, _MOST_RELEASES)),
            because=f"newer releases that are wanted too: {facts.behind}" if facts.behind else "the newest wanted",
        ),
        _native(facts.native, weights),
        _short(facts.expected_s, weights),
        Term(name="age", points=weights.day * days, because=f"{days:.1f} days old"),
        Term(
            name="retry",
            points=-float(weights.retry * min(facts.failures, _MOST_FAILURES)),
            because=f"attempts without a wheel: {facts.failures}",
        ),
    )


def total(found: Sequence[Term]) -> float:
    """The score."""
    return math.fsum(term.points for term in found)


def stored(facts: Facts, weights: Weights) -> float:
    """The score as the database keeps it: it changes when a fact does, and never by time alone."""
    return total(terms(facts, weights, at=EPOCH))


def stronger(one: str, other: str) -> str:
    """The origin of the two that counts for more, whatever the weights say."""
    return min(one, other, key=ORIGINS.index)


def _asked(origin: str, weights: Weights) -> float:
    return float(-weights.repeat if origin == "repeat" else getattr(weights, origin))


def _native(native: bool | None, weights: Weights) -> Term:  # noqa: FBT001 - one of the facts
    if native is None:
        return Term(name="native", points=weights.native / 2, because="no wheel of the project is known")
    because = "the project has compiled wheels" if native else "the project's wheels are pure Python"
    return Term(name="native", points=float(weights.native if native else 0), because=because)


def _short(expected_s: float | None, weights: Weights) -> Term:
    share = _HALF_S / (_HALF_S + (_HALF_S if expected_s is None else max(expected_s, 0.0)))
    because = "nobody knows how long it takes" if expected_s is None else f"takes about {expected_s:.0f} s"
    return Term(name="short", points=weights.short * share, because=because)
