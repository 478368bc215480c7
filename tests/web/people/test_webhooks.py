"""Webhooks by forms and over the API: an administrator's, and nobody else's."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine, select
from standardwebhooks.webhooks import Webhook as Reader

from master.keep import alarms
from schema import webhooks as signing
from schema.db import webhooks as table
from schema.db.models import AuditEntry, Delivery, Webhook
from schema.db.people import tokens, users
from schema.db.session import now, transaction
from schema.people import Role, Scope
from tests import hooks
from tests.receiver import SECRET_PATH
from tests.web.people_kit import Program, Visitor

Visitors = Callable[[], Visitor]

URL = f"https://hooks.example/{SECRET_PATH}"


@pytest.fixture
def ada(visitor: Visitors) -> Visitor:
    """An administrator at a browser."""
    browser = visitor()
    browser.log_in("admin")
    return browser


@pytest.fixture
def program(app: Flask, database: Engine, people: None) -> Callable[..., Program]:  # noqa: ARG001
    """A program of the person of that role."""

    def make(role: Role, *scopes: Scope) -> Program:
        with transaction(database) as session:
            _, text = tokens.add(session, users.named(session, role), "ci", scopes, days=1, who="ada@host")
        return Program(app, text)

    return make


def test_the_secret_of_a_new_one_is_shown_once_and_is_what_signs(ada: Visitor, database: Engine) -> None:
    made = ada.post("/settings/webhooks/", page="/settings/", name="chat", url=URL, events="build.failed")

    found = re.search(r"whsec_[A-Za-z0-9+/=]+", made.text.replace("&#43;", "+"))
    assert made.status_code == 200
    assert found is not None
    with transaction(database) as session:
        row = session.scalars(select(Webhook)).one()
        assert (row.name, row.events, row.secret) == ("chat", ["build.failed"], found[0])
        [entry] = session.scalars(select(AuditEntry).where(AuditEntry.subject == "webhook chat")).all()
        assert (entry.who, entry.action) == ("admin", "add")
    headers = signing.headers("msg_1", timestamp=int(time.time()), body=b"{}", secrets=[found[0]])
    Reader(row.secret).verify(b"{}", headers)
    for path in ("/settings/", "/audit/", "/audit/?subject=webhook%20chat"):
        page = ada.client.get(path).text
        assert not any(text in page for text in ("whsec_", SECRET_PATH)), path
    assert "https://hooks.example/…" in ada.client.get("/settings/").text


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "Chat", "url": URL}, "not a name of a webhook"),
        ({"name": "chat", "url": "javascript:alert(1)"}, "not an address"),
        ({"name": "chat", "url": URL, "events": "x"}, "there is no event"),
        ({}, "not a name of a webhook"),
        ({"name": "a\0", "url": URL}, "not a name of a webhook"),
    ],
)
def test_what_cannot_be_is_refused_at_the_form(
    ada: Visitor, database: Engine, fields: dict[str, str], told: str
) -> None:
    refused = ada.post("/settings/webhooks/", page="/settings/", **fields)

    assert (refused.status_code, told in refused.text, SECRET_PATH in refused.text) == (400, True, False)
    with transaction(database) as session:
        assert session.scalars(select(Webhook)).all() == []


def test_the_page_tells_how_each_does_and_its_buttons_work(ada: Visitor, database: Engine) -> None:
    with transaction(database) as session:
        good, off = hooks.hook(session), hooks.hook(session, "pager")
        alarms.settle(session, {"disk-low": "full"})
        off.disabled_at, off.disabled_because = now(session), "the receiver answered 410: it wants no more"
        good.failures, good.failing_since, good.trouble = 2, now(session), "answered 500"
        good.succeeded_at, good.dropped = now(session) - timedelta(hours=1), 12345

    page = ada.client.get("/settings/").text
    tested = ada.post("/settings/webhooks/chat/test", page="/settings/")
    refused = ada.post("/settings/webhooks/pager/test", page="/settings/")
    enabled = ada.post("/settings/webhooks/pager/enable", page="/settings/")
    removed = ada.post("/settings/webhooks/chat/remove", page="/settings/")
    missing = ada.post("/settings/webhooks/chat/remove", page="/settings/")

    for text in ("answered 500", "it wants no more", "12,345", "1 h ago", "failing", "off"):
        assert text in page, text
    assert (tested.status_code, tested.location) == (303, "/settings/#webhooks")
    assert (refused.status_code, "the webhook pager is off" in refused.text) == (400, True)
    assert (enabled.status_code, removed.status_code, missing.status_code) == (303, 303, 400)
    with transaction(database) as session:
        assert [(item.webhook.name, item.state) for item in table.everyone(session)] == [("pager", "on")]
        trail = [row.action for row in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    assert trail[-3:] == ["test", "enable", "remove"]


def test_a_program_of_an_administrator_adds_tests_reads_and_removes_one(
    program: Callable[..., Program], app: Flask, database: Engine
) -> None:
    ci = program(Role.ADMIN, Scope.ADMIN)
    client, headers = app.test_client(), ci.headers

    made = client.post("/api/v1/webhooks", json={"name": "chat", "url": URL}, headers=headers)
    ping = client.post("/api/v1/webhooks/chat/test", headers=headers)
    listed, sent = ci.get("/webhooks"), ci.get("/webhooks/chat/deliveries?limit=1")
    removed = client.delete("/api/v1/webhooks/chat", headers=headers)

    assert (made.status_code, ping.status_code, removed.status_code) == (201, 202, 200)
    assert made.json is not None
    assert made.json["secret"].startswith("whsec_")
    assert listed.json is not None
    [row] = listed.json
    assert (row["name"], row["where"], row["state"], row["waiting"]) == ("chat", "https://hooks.example/…", "on", 1)
    assert sent.json is not None
    assert [(item["event"], item["outcome"], item["tries"]) for item in sent.json["items"]] == [("ping", None, 0)]
    for answer in (listed, sent, ping, removed):
        assert not any(text in answer.text for text in ("whsec_", SECRET_PATH))
    assert ci.get("/webhooks").json == []
    for path in ("/webhooks/chat", "/webhooks/chat%00", "/webhooks/ch\u00e4t"):
        assert client.delete(f"/api/v1{path}", headers=headers).status_code == 404, path
    with transaction(database) as session:
        assert session.scalars(select(Delivery)).all() == []


def test_nobody_else_sees_or_changes_them(program: Callable[..., Program], app: Flask, database: Engine) -> None:
    with transaction(database) as session:
        hooks.hook(session)
    others = [
        program(Role.ADMIN, Scope.READ, Scope.JOBS, Scope.NODES),
        program(Role.OPERATOR, Scope.READ, Scope.JOBS, Scope.NODES),
        program(Role.VIEWER, Scope.READ),
        Program(app, ""),
    ]
    client = app.test_client()

    for other in others:
        for method, path in (
            ("GET", "/webhooks"), ("POST", "/webhooks"), ("DELETE", "/webhooks/chat"),
            ("POST", "/webhooks/chat/test"), ("GET", "/webhooks/chat/deliveries"),
        ):  # fmt: skip
            body = {"name": "x", "url": URL} if path == "/webhooks" and method == "POST" else None
            answer = client.open(f"/api/v1{path}", method=method, json=body, headers=other.headers)
            assert answer.status_code in {401, 403}, (method, path)
    with transaction(database) as session:
        assert [item.webhook.name for item in table.everyone(session)] == ["chat"]
        assert session.scalars(select(Delivery)).all() == []
