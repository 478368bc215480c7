"""A build that only repeats another: its number, from which all else follows, and what comes of it.

It needs a number of its own, for two builds of a release never share one, but none that a wheel will ever have: the
repeat of number 0 is -1, that of 1 is -2. What a node on probation builds once more is further down: the first such
build of number 0 is -10001, the second -20001. So it is never taken for the newest build of its release, and its wheel,
which is compared and thrown away, carries the number that it repeats.
"""

from __future__ import annotations

from enum import StrEnum


class Repeated(StrEnum):
    """What came of building the same once more; the first three as ``schema.wheels.comparing.Verdict``."""

    IDENTICAL = "identical"
    EQUIVALENT = "equivalent"
    DIFFERS = "differs"
    NOT_REPEATED = "not-repeated"


# The verdicts that say that nothing but what its source says is in a wheel.
SAME = frozenset({Repeated.IDENTICAL, Repeated.EQUIVALENT})


# So many builds of one release can be repeated; nobody will ever build one as often.
MOST_NUMBERS = 10_000


def number_for(build_number: int, *, canary: int = 0) -> int:
    """The number of the build that repeats that one; *canary*: as the how-manieth canary, 0 for none."""
    return -1 - build_number - canary * MOST_NUMBERS


def is_repeat(build_number: int) -> bool:
    """Whether a build of that number repeats another."""
    return build_number < 0


def is_canary(build_number: int) -> bool:
    """Whether a build of that number shows what a node on probation makes of what is known."""
    return build_number < -MOST_NUMBERS


def wheel_number(build_number: int) -> int:
    """The number that its wheel carries, 0 for none."""
    return number_for(build_number) % MOST_NUMBERS if is_repeat(build_number) else build_number
