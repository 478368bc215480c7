"""Orders by forms."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from schema.db.models import Order
from schema.db.session import now, transaction
from tests.web.people_kit import Visitor

Visitors = Callable[[], Visitor]


def orders(database: Engine) -> list[Order]:
    with transaction(database) as session:
        return list(session.scalars(select(Order).order_by(Order.id)))


def test_an_order_is_taken_with_the_persons_name_and_leads_back_to_where_the_form_was(
    visitor: Visitors, database: Engine
) -> None:
    someone = visitor()
    someone.log_in("operator")

    sent = someone.post("/orders/", action="hold", builds="12", reason="too hot", platform="", next="/build/12/")

    assert (sent.status_code, sent.location) == (303, "/build/12/")
    [row] = orders(database)
    assert (row.who, row.action, row.outcome) == ("operator", "hold", None)
    assert row.arguments == {"builds": "12", "platform": "", "reason": "too hot"}
    page = someone.client.get("/orders/").text
    assert "operator" in page
    assert "to be done" in page


def test_a_button_sends_all_that_the_order_is_told_as_json(visitor: Visitors, database: Engine) -> None:
    someone = visitor()
    someone.log_in("operator")
    told = {"build": 12, "recipe": {"debian_packages": ["libffi-dev"]}}

    sent = someone.post("/orders/", action="try-recipe", arguments=json.dumps(told), next="https://evil.example/")

    assert sent.location == "/orders/1/"
    assert orders(database)[0].arguments == told
    assert 'http-equiv="refresh"' in someone.client.get("/orders/1/").text


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"action": "hold"}, "missing required field `builds`"),
        ({"action": "format-disk"}, "there is no order"),
        ({"action": "hold", "arguments": "{"}, "arguments: not JSON"),
        ({"action": "hold", "arguments": "[" * 5000}, "arguments: not JSON"),
        ({"action": "hold", "arguments": "[1]"}, "arguments: not an object"),
        ({"action": "priority", "builds": "1", "points": "nan"}, "points"),
    ],
)
def test_what_is_no_order_is_refused_at_the_form(
    visitor: Visitors, database: Engine, form: dict[str, str], told: str
) -> None:
    someone = visitor()
    someone.log_in("operator")

    refused = someone.post("/orders/", **form)

    assert (refused.status_code, told in refused.text) == (400, True), refused.text
    assert orders(database) == []


def test_who_may_only_look_gives_no_orders_but_questions(visitor: Visitors, database: Engine) -> None:
    someone = visitor()
    someone.log_in("viewer")

    assert someone.post("/orders/", action="hold", builds="12").status_code == 403
    assert someone.post("/orders/", action="coverage", text="cffi").status_code == 303
    assert [row.action for row in orders(database)] == ["coverage"]


def test_a_full_table_is_told(visitor: Visitors, database: Engine) -> None:
    with transaction(database) as session:
        moment = now(session)
        session.add_all(Order(who="x", action="retry", arguments={}, asked_at=moment) for _ in range(1000))
    someone = visitor()
    someone.log_in("operator")

    refused = someone.post("/orders/", action="retry", builds="12")

    assert (refused.status_code, "1000 orders wait" in refused.text) == (503, True)


def test_what_came_of_orders_is_shown_inert_and_paged(client: FlaskClient, database: Engine) -> None:
    with transaction(database) as session:
        moment = now(session)
        evil = "<script>alert(1)</script>\x1b[31m"
        session.add_all(
            Order(
                who=evil, action="hold", arguments={"reason": evil}, asked_at=moment,
                done_at=moment, outcome="done", told=evil, result={"x": evil},
            )
            for _ in range(60)
        )  # fmt: skip

    first, one = client.get("/orders/"), client.get("/orders/1/")
    rest = client.get("/orders/?before=11")

    for page in (first, one, rest):
        assert "<script>alert" not in page.text
        assert "\x1b" not in page.text
    assert first.text.count("/orders/1") >= 1
    assert "?before=11" in first.text
    assert "/orders/10/" in rest.text
    assert client.get("/orders/61/").status_code == client.get("/orders/99999999999/").status_code == 404
