from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from schema import orders
from schema.errors import UsageError
from schema.people import Role, Scope, user_name
from tests.order_examples import GOOD

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("format-disk", {}, "there is no order 'format-disk' .*request, rebuild"),
    ("hold", {}, "missing required field `builds`"),
    ("hold", {"builds": "12", "loud": True}, "unknown argument 'loud'"),
    ("hold", {"builds": 12}, "Expected `str`, got `int`"),
    ("hold", {"builds": "../x"}, "not a project name"),
    ("hold", {"builds": "12", "platform": "windows"}, "not a platform"),
    ("hold", {"builds": "12", "reason": "a\0b"}, "reason"),
    ("hold", {"builds": "12", "reason": "x" * 1001}, "length <= 1000"),
    ("rebuild", {"builds": "cffi"}, "write NAME==VERSION"),
    ("request", {"requirement": "cffi @ http://evil.example/x.zip"}, "by URL cannot be built"),
    ("request", {"requirement": "cffi", "platforms": ["x"] * 2}, "not a platform"),
    ("priority", {"builds": "12", "points": 1e9}, "points"),
    ("priority", {"builds": "12", "points": float("nan")}, "points"),
    ("try-recipe", {"build": 0, "recipe": {"jobs": 1}}, "build"),
    ("try-recipe", {"build": 12, "recipe": {}}, "it does nothing"),
    ("try-recipe", {"build": 12, "recipe": {"do_not_build": True}}, "unknown key 'do_not_build'"),
    ("try-recipe", {"build": 12, "recipe": {"environment": {"PATH": "/x"}}}, "recipe: environment"),
    ("try-recipe", {"build": 12, "recipe": {"debian_packages": ["$(id)"]}}, "recipe: debian_packages"),
    ("node-drain", {"node": "../pi4"}, "not a node name"),
    ("coverage", {"text": "", "file": "/etc/passwd"}, "file"),
]


@pytest.mark.parametrize("action", orders.ORDERS)
def test_an_order_is_the_same_after_it_was_kept_as_json(action: str) -> None:
    order = orders.read(action, GOOD[action])

    kept = json.loads(json.dumps(msgspec.to_builtins(order)))

    assert orders.read(action, kept) == order
    assert orders.name_of(order) == action


@pytest.mark.parametrize(("action", "arguments", "told"), BAD)
def test_what_is_no_order_is_refused_with_what_is_wrong(action: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        orders.read(action, arguments)


def test_the_texts_of_a_form_become_what_the_order_needs() -> None:
    order = orders.read("priority", {"builds": "12", "points": "2.5"}, strict=False)

    assert order == orders.Priority(builds="12", points=2.5)


def test_nobody_steers_a_farm_who_may_only_look_at_it() -> None:
    for action, kind in orders.ORDERS.items():
        looks_only = action == "coverage"
        assert (kind.role is Role.VIEWER, kind.scope is Scope.READ) == (looks_only, looks_only), action


def test_each_role_may_do_what_those_before_it_may() -> None:
    allowed = [(had, needed) for had in Role for needed in Role if had.may(needed)]

    assert len(allowed) == 6
    assert Role.ADMIN.may(Role.VIEWER)
    assert not Role.OPERATOR.may(Role.ADMIN)


@pytest.mark.parametrize("text", ["", "Ada", "ada@host", "ada ", "-ada", "a" * 65, "ada\n", "ädä"])
def test_what_is_no_name_to_log_in_with_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a name to log in with"):
        user_name(text)
