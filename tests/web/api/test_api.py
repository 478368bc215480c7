from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, select, update

from schema import orders
from schema.db.models import ApiToken, AuditEntry, Order
from schema.db.people import tokens, users
from schema.db.session import now, transaction
from schema.people import Role, Scope
from schema.sections import WebSection
from schema.settings import Settings
from tests import entries
from tests.order_examples import GOOD as ORDERS
from tests.web.people_kit import SAME, Program, Visitor
from web.api.endpoints import ENDPOINTS
from web.app import create_app

Programs = Callable[..., Program]

SHOWN = [
    "/status", "/projects", "/projects/cffi", "/builds", "/builds/1", "/builds/1/log", "/nodes", "/alarms", "/audit",
    "/wheels", "/me", "/orders", "/failures", "/queue", "/platforms", "/recipes",
]  # fmt: skip


NO_TOKENS = ["Bearer", "Bearer wf_x", "Bearer \u00e9", "Basic YTpi", "wf_x", "Bearer wf_" + "x" * 9000]
ABSENT = ["/projects/-x", "/projects/unknown", "/builds/99", "/builds/99/log", "/wheels/x", "/orders/7", "/x"]


def test_everything_that_the_pages_show_is_there_for_programs(farm: dict[str, int], anybody: Program) -> None:
    for path in SHOWN:
        assert anybody.get(path).status_code == 200, path

    published = anybody.get(f"/builds/{farm['published']}").json
    assert published is not None
    assert published["build"]["sentence"]
    [first, *_] = published["wheels"]
    wheel = anybody.get(f"/wheels/{first}").json
    assert wheel is not None
    assert wheel["wheel"]["build"] == farm["published"]
    project = anybody.get("/projects/CFFI").json
    assert project is not None
    assert {cell["platform"] for row in project["versions"] for cell in row["platforms"]} == set(project["platforms"])


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_not_there_is_a_problem_document(anybody: Program, path: str) -> None:
    answer = anybody.get(path)

    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
    assert answer.json is not None
    assert (answer.json["title"], answer.json["status"]) == ("Not Found", 404)


@pytest.mark.parametrize(
    "path", ["/builds?state=lost", "/builds?cursor=-1", "/builds?cursor=x", "/audit?limit=0", "/audit?limit=101",
             "/nodes?x=1", "/audit?subject=%00", "/alarms?limit=1&limit=2"],
)  # fmt: skip
def test_what_was_not_asked_rightly_is_told(anybody: Program, path: str) -> None:
    answer = anybody.get(path)

    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")


def test_a_method_that_is_not_there_is_told_with_those_that_are(app: Flask) -> None:
    answer = app.test_client().delete("/api/v1/builds")

    assert (answer.status_code, answer.content_type) == (405, "application/problem+json")
    assert "GET" in answer.headers["Allow"]


def test_lists_are_walked_by_their_cursors(anybody: Program, database: Engine) -> None:
    with transaction(database) as session:
        for number in range(7):
            entries.alarm(session, name=f"alarm-{number}")
    seen: list[str] = []
    cursor = "0"
    while cursor:
        page = anybody.get(f"/alarms?limit=3&cursor={cursor}").json
        assert page is not None
        seen += [item["name"] for item in page["items"]]
        cursor = page["next"]

    assert seen == [f"alarm-{number}" for number in reversed(range(7))]


def test_an_order_is_taken_in_the_persons_name_and_can_be_followed(program: Programs) -> None:
    ci = program(Role.OPERATOR, Scope.JOBS, Scope.READ)

    taken = ci.order("hold", {"builds": "12", "reason": "too hot"})

    assert taken.status_code == 202, taken.text
    assert taken.json is not None
    assert (taken.json["who"], taken.json["outcome"]) == ("operator (token ci)", None)
    followed = ci.get(taken.headers["Location"].removeprefix("/api/v1"))
    assert followed.json == taken.json


@pytest.mark.parametrize("action", orders.ORDERS)
def test_each_order_needs_its_role_and_its_scope(
    program: Programs, database: Engine, anybody: Program, action: str
) -> None:
    kind = orders.ORDERS[action]
    assert anybody.order(action, ORDERS[action]).status_code == 401
    for role in Role:
        for scope in Scope:
            if not role.may(tokens.NEEDED[scope]):
                continue
            enough = role.may(kind.role) and scope in {kind.scope, Scope.ADMIN}
            answer = program(role, scope).order(action, ORDERS[action])
            assert answer.status_code == (202 if enough else 403), (role, scope, answer.text)

    with transaction(database) as session:
        found = session.scalars(select(Order)).all()
        assert {row.action for row in found} == {action}
        assert orders.read(action, found[0].arguments) == orders.read(action, ORDERS[action])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"builds": "12", "x": 1}, "unknown key 'x'"),
        ({"builds": 12}, "Expected `str`, got `int`"),
        ({}, "missing required field `builds`"),
        ([], "the body must be an object"),
        ({"builds": "../x"}, "not a project name"),
    ],
)
def test_what_is_no_order_is_refused_with_what_is_wrong(program: Programs, body: object, told: str) -> None:
    answer = program(Role.OPERATOR, Scope.JOBS).order("hold", body)

    assert (answer.status_code, told in answer.text) == (400, True), answer.text


def test_a_body_that_is_no_json_or_too_large_is_refused(program: Programs, app: Flask) -> None:
    ci, client = program(Role.OPERATOR, Scope.JOBS), app.test_client()

    for data, kind, status in (
        (b"{", "application/json", 400),
        (b'{"builds": "\\ud800"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"builds=1", "application/x-www-form-urlencoded", 400),
        (b" " * (2 * 2**20 + 1), "application/json", 413),
    ):
        answer = client.post("/api/v1/orders/hold", data=data, content_type=kind, headers=ci.headers)
        assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), data[:20]


def test_a_token_that_holds_no_more_opens_nothing(program: Programs, database: Engine) -> None:
    def ended(change: Callable[[ApiToken], object]) -> int:
        ci = program(Role.OPERATOR, Scope.READ)
        assert ci.get("/me").json == {"name": "operator", "role": "operator", "scopes": ["read"]}
        with transaction(database) as session:
            token = tokens.holder(session, ci.token)
            assert token is not None
            change(token)
        return ci.get("/me").status_code

    def expire(token: ApiToken) -> None:
        token.expires_at -= timedelta(days=2)

    def revoke(token: ApiToken) -> None:
        token.revoked_at = token.created_at

    def disable(token: ApiToken) -> None:
        token.user.disabled_at = token.created_at

    assert [ended(change) for change in (expire, revoke, disable)] == [401] * 3


@pytest.mark.parametrize("shown", NO_TOKENS)
def test_what_is_no_token_is_refused_even_where_nothing_is_needed(app: Flask, shown: str) -> None:
    answer = app.test_client().get("/api/v1/builds", headers={"Authorization": shown})

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="wheelfarm"')


def test_a_person_who_may_less_by_now_has_a_token_that_may_less(program: Programs, database: Engine) -> None:
    ci = program(Role.OPERATOR, Scope.JOBS)
    with transaction(database) as session:
        users.set_role(session, users.named(session, "operator"), Role.VIEWER, who="ada@host")

    assert ci.order("hold", {"builds": "1"}).status_code == 403


def test_the_last_use_of_a_token_is_written_once_a_minute(program: Programs, database: Engine) -> None:
    ci = program(Role.VIEWER, Scope.READ)

    def used() -> object:
        with transaction(database) as session:
            return session.scalars(select(ApiToken.used_at)).one()

    assert used() is None
    ci.get("/me")
    first = used()
    ci.get("/me")
    assert used() == first
    with transaction(database) as session:
        session.execute(update(ApiToken).values(used_at=now(session) - timedelta(minutes=2)))
    ci.get("/me")
    assert used() >= first  # type: ignore[operator]


def test_a_session_reads_the_api_and_orders_only_with_its_form_token(app: Flask, program: Programs) -> None:
    program(Role.OPERATOR, Scope.READ)
    browser = Visitor(app.test_client())
    browser.log_in("operator")

    me = browser.client.get("/api/v1/me").json
    forged = browser.client.post("/api/v1/orders/hold", json={"builds": "1"}, headers=SAME)
    own = browser.client.post(
        "/api/v1/orders/hold", json={"builds": "1"}, headers={**SAME, "X-CSRF-Token": browser.token()}
    )

    assert me == {"name": "operator", "role": "operator", "scopes": []}
    assert (forged.status_code, own.status_code) == (403, 202)


def test_where_pages_are_not_public_the_api_needs_a_token_that_may_read(settings: Settings, program: Programs) -> None:
    private = create_app(dataclasses.replace(settings, web=WebSection(public_pages=False)))

    def status(token: str) -> int:
        return Program(private, token).get("/builds").status_code

    reads, works = program(Role.OPERATOR, Scope.READ), program(Role.OPERATOR, Scope.JOBS)
    assert [status(""), status(reads.token), status(works.token)] == [401, 200, 403]
    private.extensions["database"].close()


def test_what_came_from_elsewhere_is_shown_inert(anybody: Program, database: Engine) -> None:
    with transaction(database) as session:
        entries.alarm(session, text="a\x1b[31m\u202eb")
        session.add(AuditEntry(at=now(session), who="a\x1b[31m", action="hold", subject="build 1"))

    for path in ("/alarms", "/audit"):
        assert "\\u001b" not in anybody.get(path).text


def test_the_api_without_a_database_says_so(unreachable: FlaskClient) -> None:
    answer = unreachable.get("/api/v1/builds")

    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert answer.headers["Retry-After"] == "10"


def test_the_description_names_every_address_with_what_it_needs(app: Flask, anybody: Program) -> None:
    described = msgspec.json.decode(anybody.get("/openapi.json").data)

    assert described["openapi"] == "3.1.0"
    there = {(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    assert len(ENDPOINTS) == sum(len(methods) for methods in described["paths"].values())
    for item in ENDPOINTS:
        assert (f"/api/v1{item.rule}", item.method) in there
    hold = described["paths"]["/orders/hold"]["post"]
    assert hold["security"] == [{"token": ["jobs:write"]}]
    assert described["paths"]["/builds"]["get"]["security"] == [{}, {"token": ["read"]}]
    page = anybody.get("/").text
    assert all(f"/api/v1{path}" in page for path in described["paths"])
