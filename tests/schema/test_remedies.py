from __future__ import annotations

from typing import Any

import pytest

from schema.errors import WireError
from schema.recipes import Rule, combined
from schema.remedies import Remedy, Rung, Try, of_rule
from schema.states import FailureClass

DEBIAN = Remedy(rung=Rung.DEBIAN, why="lber.h is missing", debian_packages=("libldap-dev",))


def test_a_remedy_and_a_try_come_off_the_wire_as_they_went_on_it() -> None:
    tried = Try(
        seconds=1.5, added=(DEBIAN,), helped=True, failure_class=FailureClass.HEADER, evidence="sasl.h: no", line=7
    )

    assert Remedy.from_json(DEBIAN.to_json()) == DEBIAN
    assert Try.from_json(tried.to_json()) == tried


@pytest.mark.parametrize(
    ("rung", "actions", "told"),
    [
        (Rung.DEBIAN, {"environment": {"A": "b"}}, "debian may not have environment"),
        (Rung.BUILD_DEPENDS, {"build_constraints": ["cython<3"]}, "build-depends may not have build_constraints"),
        (Rung.REQUIREMENTS, {"debian_packages": ["libc6"]}, "requirements may not have debian_packages"),
        (Rung.MACHINE, {"do_not_build": True}, "machine may not have do_not_build"),
        (Rung.DEBIAN, {"debian_packages": ["; rm -rf /"]}, "is not the name of a Debian package"),
        (Rung.DEBIAN, {"rule": "demo/one"}, "with a rule"),
        (Rung.RULE, {"jobs": 1}, "without a rule"),
        (Rung.REQUIREMENTS, {"build_requirements": ["evil"]}, "may not require evil"),
    ],
)
def test_what_a_node_says_it_did_may_be_only_what_that_kind_of_remedy_is_for(
    rung: Rung, actions: dict[str, Any], told: str
) -> None:
    with pytest.raises(WireError, match=told):
        Remedy.from_json({"rung": rung, "why": "because", **actions})


def test_a_line_is_no_larger_than_the_database_takes() -> None:
    with pytest.raises(WireError, match="not a whole number"):
        Try.from_json({"seconds": 1, "line": 2**31})


def test_remedies_and_the_recipe_add_up_and_the_rules_among_them_are_named() -> None:
    rule = Rule.parse({"id": "demo/older", "why": "w", "after": ["build"], "build_constraints": ["cython<3"]})

    both = combined((DEBIAN, of_rule(rule)))

    assert (both.debian_packages, both.build_constraints, both.rules) == (
        ("libldap-dev",),
        ("cython<3",),
        ("demo/older",),
    )
