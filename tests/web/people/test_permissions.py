"""Every route, every method, every role: what is declared at a view is what happens, from the URL map itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select

from schema.db.models import Order
from schema.db.session import transaction
from schema.people import Role
from schema.sections import WebSection
from schema.settings import Settings
from tests.web.people_kit import SAME, Visitor
from web.app import create_app
from web.people import needs

Visitors = Callable[[], Visitor]

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_EXAMPLES = {"int": "1", "default": "x", "path": "x", "string": "x"}


def addresses(app: Flask) -> Iterator[tuple[str, str, needs.Need]]:
    """Each method and path of the URL map, with example values, and what is declared for it."""
    for rule in app.url_map.iter_rules():
        if rule.build_only:
            continue
        values = {name: _EXAMPLES[_kind(rule, name)] for name in rule.arguments}
        with app.test_request_context():
            path = app.url_map.bind("localhost").build(rule.endpoint, _typed(rule, values))
        need = needs.need_of(app.view_functions[rule.endpoint])
        assert need is not None
        for method in (rule.methods or set()) & set(_METHODS):
            yield method, path, need


def _kind(rule: Any, name: str) -> str:
    return "int" if "Integer" in type(rule._converters[name]).__name__ else "default"


def _typed(rule: Any, values: dict[str, str]) -> dict[str, object]:
    return {name: int(value) if _kind(rule, name) == "int" else value for name, value in values.items()}


def _may(need: needs.Need, role: Role | None, *, public: bool) -> bool:
    if need.role is None or (need.role == needs.READER and public):
        return True
    return role is not None and role.may(
        Role.VIEWER if need.role in {needs.READER, needs.METRICS} else Role(need.role or "")
    )


@pytest.mark.parametrize("public", [True, False], ids=["public", "private"])
def test_each_route_lets_in_by_method_whom_it_declares_and_nobody_else(
    settings: Settings,
    people: None,  # noqa: ARG001
    public: bool,  # noqa: FBT001
) -> None:
    app = create_app(dataclasses.replace(settings, web=WebSection(public_pages=public)))
    seen = 0
    for role in (None, *Role):
        for method, path, need in addresses(app):
            if path in {"/logout", "/account/password", "/account/totp/end"}:
                continue  # they end the session; each has a test of its own
            browser = Visitor(app.test_client())
            _let_in(browser, role)
            token = browser.token() if role else ""

            answer = browser.client.open(path, method=method, headers=SAME, data={"csrf": token} if token else None)

            seen += 1
            refused = answer.status_code in {401, 403} or "/login?" in answer.headers.get("Location", "")
            refused = refused or (answer.location == "/login" and path != "/login")
            if path == "/orders/" and method == "POST":
                refused = False if role else refused  # what an action needs is looked at when it is known
            if path == "/login" and method == "POST":
                refused = False
            assert refused is not _may(need, role, public=public), (role, method, path, answer.status)
    assert seen > 80
    app.extensions["database"].close()


_SESSIONS: dict[tuple[int, Role], str] = {}


def _let_in(browser: Visitor, role: Role | None) -> None:
    if role is None:
        return
    key = id(browser.client.application), role
    if key not in _SESSIONS:
        browser.log_in(role.value)
        cookie = browser.client.get_cookie("wheelfarm")
        assert cookie is not None
        _SESSIONS[key] = cookie.value
    browser.client.set_cookie("wheelfarm", _SESSIONS[key])


def test_a_method_that_a_route_does_not_declare_is_none_of_its_methods(app: Flask, client: FlaskClient) -> None:
    declared = {(method, path) for method, path, _ in addresses(app)}

    for path in {path for _, path in declared}:
        for method in _METHODS:
            if (method, path) not in declared:
                assert client.open(path, method=method, headers=SAME).status_code in {404, 405}, (method, path)


def test_an_app_with_a_view_that_declares_nothing_does_not_start() -> None:
    app = Flask("test", static_folder=None)
    app.add_url_rule("/open", view_func=needs.needs(None)(lambda: "open"), endpoint="open")
    needs.check(app)

    app.add_url_rule("/forgotten", view_func=lambda: "oh", endpoint="forgotten", methods=["POST"])
    with pytest.raises(RuntimeError, match=r"POST /forgotten \(forgotten\): declare it"):
        needs.check(app)


def test_an_app_with_one_view_for_two_methods_does_not_start() -> None:
    app = Flask("test", static_folder=None)
    both = needs.needs("operator")(lambda: "both")
    app.add_url_rule("/both", view_func=both, endpoint="both", methods=["GET", "POST"])

    with pytest.raises(RuntimeError, match="one view for each method"):
        needs.check(app)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
def test_a_form_on_another_site_changes_nothing_even_with_the_right_token(
    visitor: Visitors, headers: dict[str, str]
) -> None:
    someone = visitor()
    someone.log_in("admin")
    form = {"csrf": someone.token(), "action": "retry", "builds": "1"}

    assert someone.client.post("/orders/", data=form, headers=headers).status_code == 403
    assert someone.client.post("/login", data={"name": "viewer"}, headers=headers).status_code == 403
    assert someone.client.post("/orders/", data=form, headers={"Origin": "http://localhost"}).status_code == 303


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_the_token_of_its_session_changes_nothing(
    visitor: Visitors, database: Engine, token: str
) -> None:
    someone, other = visitor(), visitor()
    someone.log_in("admin")
    other.log_in("operator")

    for shown in (token, other.token()):
        form = {"csrf": shown, "action": "retry", "builds": "1"}
        assert someone.client.post("/orders/", data=form, headers=SAME).status_code == 403

    with transaction(database) as session:
        assert session.scalar(select(func.count()).select_from(Order)) == 0
