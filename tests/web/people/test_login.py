from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import timedelta

import pyotp
import pytest
from flask import Flask
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from schema.db.models import LoginFailure, LoginSession, User
from schema.db.people import users
from schema.db.session import now, transaction
from schema.people import Role
from schema.sections import WebSection
from schema.settings import Settings
from tests.web.people_kit import BAD, GOOD, SAME, Visitor
from web.app import create_app
from web.people import throttle

Visitors = Callable[[], Visitor]


def test_who_logs_in_is_known_until_the_logout(visitor: Visitors, database: Engine) -> None:
    ada = visitor()
    assert not ada.is_known

    entered = ada.log_in("admin", next="/builds/?state=failed")

    assert (entered.status_code, entered.location) == (303, "/builds/?state=failed")
    cookie = entered.headers["Set-Cookie"]
    assert cookie.startswith("wheelfarm=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    page = ada.client.get("/builds/")
    assert ">admin</a>" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    with transaction(database) as session:
        [row] = session.scalars(select(LoginSession)).all()
        assert row.digest not in cookie
        assert row.until - row.began_at == timedelta(hours=12)
    assert ada.post("/logout").status_code == 303
    assert not ada.is_known
    with transaction(database) as session:
        assert session.scalars(select(LoginSession)).all() == []


ELSEWHERE = ["https://evil.example/", "//evil.example/", "/\\evil.example", "\t//evil.example", "x"]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_after_the_login_nobody_is_sent_to_another_server(visitor: Visitors, where: str) -> None:
    assert visitor().log_in("viewer", next=where).location == "/"


def test_whatever_is_wrong_the_answer_is_the_same(visitor: Visitors, database: Engine) -> None:
    with transaction(database) as session:
        users.disable(session, users.named(session, "operator"), who="ada@host")
    someone = visitor()

    answers = [
        someone.log_in(name, password)
        for name, password in (("admin", "wrong"), ("nobody", GOOD), ("a\0b", GOOD), ("", ""), ("operator", GOOD))
    ]

    assert {answer.status_code for answer in answers} == {400}
    told = {re.sub(r' value="[^"]*"| autofocus', "", answer.text) for answer in answers}
    assert len(told) == 1
    assert not someone.is_known


def test_guessing_is_throttled_by_account_and_ends_by_itself(visitor: Visitors, database: Engine) -> None:
    with transaction(database) as session:
        for _ in range(throttle.MOST_OF_ACCOUNT):
            throttle.attempt(session, account="admin", address="198.51.100.7")
    someone = visitor()

    refused = someone.log_in("admin")

    assert (refused.status_code, "too many attempts" in refused.text) == (429, True)
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    assert someone.log_in("viewer").status_code == 303
    with transaction(database) as session:
        session.execute(update(LoginFailure).values(since=now(session) - throttle.WINDOW))
    assert someone.log_in("admin").status_code == 303
    with transaction(database) as session:
        throttle.attempt(session, account="admin", address="")  # forgotten by the success


def test_guessing_is_throttled_by_address_and_an_ipv6_site_is_one(database: Engine) -> None:
    with transaction(database) as session:
        for number in range(throttle.MOST_OF_ADDRESS):
            throttle.attempt(session, account=f"name{number}", address=f"2001:db8::{number:x}")

        with pytest.raises(throttle.TooOftenError):
            throttle.attempt(session, account="another", address="2001:db8::ffff")
        throttle.attempt(session, account="another", address="2001:db8:0:1::1")


def test_no_number_of_names_makes_the_table_grow_for_ever(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_ACCOUNTS", 16)
    monkeypatch.setattr(throttle, "_ADDRESSES", 16)
    with transaction(database) as session:
        for number in range(200):
            try:
                throttle.attempt(session, account=f"n{number}", address=f"192.0.2.{number}")
            except throttle.TooOftenError:
                continue
        assert (session.scalar(select(func.count()).select_from(LoginFailure)) or 0) <= 32


def test_a_session_ends_after_its_time_and_with_role_password_and_account(visitor: Visitors, database: Engine) -> None:
    ends = [
        lambda: _change(database, lambda s, u: users.set_role(s, u, Role.VIEWER, who="x")),
        lambda: _change(database, lambda s, u: users.set_password(s, u, GOOD, who="x")),
        lambda: _change(database, lambda s, _: s.execute(update(LoginSession).values(until=now(s)))),
        lambda: _change(database, lambda s, u: users.disable(s, u, who="x")),
    ]
    for end in ends:
        someone = visitor()
        assert someone.log_in("operator").status_code == 303
        assert someone.is_known

        end()  # type: ignore[no-untyped-call]

        assert not someone.is_known


def _change(database: Engine, change: Callable[[Session, User], object]) -> None:
    with transaction(database) as session:
        change(session, users.named(session, "operator"))


def test_of_many_sessions_the_oldest_end(visitor: Visitors, database: Engine) -> None:
    first = visitor()
    first.log_in("viewer")
    with transaction(database) as session:
        mine = select(User.id).where(User.name == "viewer").scalar_subquery()
        moment = now(session)
        session.execute(update(LoginSession).values(began_at=moment - timedelta(hours=1)))
        user_id = session.scalars(select(mine)).one()
        session.add_all(
            LoginSession(digest=f"{number:064x}", user_id=user_id, began_at=moment, until=moment + timedelta(hours=1))
            for number in range(19)
        )

    second = visitor()
    second.log_in("viewer")

    assert second.is_known
    assert not first.is_known


def test_a_second_factor_is_set_up_used_once_a_code_and_taken_away_with_the_password(
    visitor: Visitors, database: Engine
) -> None:
    ada = visitor()
    ada.log_in("admin")
    ada.post("/account/totp")
    page = ada.client.get("/account/").text
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page)
    assert secret is not None
    assert 'src="data:image/svg+xml' in page
    assert "the code is wrong" in ada.post("/account/totp/confirm", code="000000x").text
    totp = pyotp.TOTP(secret[1])
    with transaction(database) as session:
        moment = now(session)
    code = totp.at(moment)

    assert ada.post("/account/totp/confirm", code=code).status_code == 303

    assert visitor().log_in("admin").status_code == 400
    assert visitor().log_in("admin", code=code).status_code == 400  # it was used
    later = totp.at(moment + timedelta(seconds=30))
    again = visitor()
    assert again.log_in("admin", code=f"{later[:3]} {later[3:]}").status_code == 303
    assert "the password is wrong" in again.post("/account/totp/end", password=BAD).text
    assert again.post("/account/totp/end", password=GOOD).status_code == 303
    assert visitor().log_in("admin").status_code == 303


def test_another_password_leaves_only_the_browser_that_set_it(visitor: Visitors) -> None:
    here, there = visitor(), visitor()
    for browser in (here, there):
        browser.log_in("viewer")
    assert "the password is wrong" in here.post("/account/password", password=BAD, new="several other words").text
    assert "12 to 256 characters" in here.post("/account/password", password=GOOD, new="short").text

    assert here.post("/account/password", password=GOOD, new="several other words").status_code == 303

    assert here.is_known
    assert not there.is_known
    assert visitor().log_in("viewer").status_code == 400
    assert visitor().log_in("viewer", "several other words").status_code == 303


def test_over_tls_the_cookie_is_for_this_host_only(settings: Settings, people: None) -> None:  # noqa: ARG001
    app = create_app(dataclasses.replace(settings, web=WebSection(public_url="https://farm.example")))
    browser = app.test_client()

    entered = browser.post(
        "/login", base_url="http://farm.example", data={"name": "viewer", "password": GOOD}, headers=SAME
    )

    cookie = entered.headers["Set-Cookie"]
    assert cookie.startswith("__Host-wheelfarm=")
    assert "Secure" in cookie.split("; ")
    assert entered.headers["Strict-Transport-Security"].startswith("max-age=")
    app.extensions["database"].close()


def test_over_plain_http_of_a_network_nobody_sends_a_password(app: Flask) -> None:
    browser = app.test_client()

    form = browser.get("/login", base_url="http://farm.example")
    entered = browser.post("/login", base_url="http://farm.example", data={"name": "a", "password": GOOD}, headers=SAME)
    afar = browser.get("/login", environ_base={"REMOTE_ADDR": "192.0.2.4"})

    assert 'type="password"' not in form.text
    assert entered.status_code == 403
    assert 'type="password"' not in afar.text


def test_a_front_end_without_logins_has_no_such_pages_and_asks_nothing_about_people(settings: Settings) -> None:
    app = create_app(dataclasses.replace(settings, web=WebSection(logins=False)))
    browser = app.test_client()
    browser.set_cookie("wheelfarm", "x" * 43)

    assert browser.get("/").status_code == 200
    assert browser.get("/login").status_code == browser.get("/orders/").status_code == 404
    assert "Log in" not in browser.get("/").text
    app.extensions["database"].close()


def test_pages_that_are_not_public_are_for_people_and_the_index_is_for_all(settings: Settings, people: None) -> None:  # noqa: ARG001
    app = create_app(dataclasses.replace(settings, web=WebSection(public_pages=False)))
    browser = Visitor(app.test_client())

    asked = browser.client.get("/builds/?state=failed")

    assert (asked.status_code, asked.location) == (303, "/login?next=/builds/?state%3Dfailed")
    assert browser.client.get("/healthz").status_code == 200
    assert browser.client.get("/simple/nothing/").status_code == 404
    browser.log_in("viewer")
    assert browser.client.get("/builds/").status_code == 200
    app.extensions["database"].close()
