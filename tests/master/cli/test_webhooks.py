"""``wheelfarm webhook``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from standardwebhooks.webhooks import Webhook as Reader

from master.keep import alarms
from schema.db import webhooks as table
from schema.db.session import engine, now, transaction
from schema.settings import Settings
from schema.webhooks import MOST_WEBHOOKS, Event
from tests import hooks
from tests.receiver import SECRET_PATH, Receiver

Call = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("settings")


@pytest.fixture
def database(settings: Settings) -> Iterator[Engine]:
    made = engine(settings.database_url)
    yield made
    made.dispose()


@pytest.fixture
def private(settings_file: Path) -> None:
    settings_file.write_text(f"{settings_file.read_text()}[webhooks]\nprivate_addresses = true\n")


def test_the_secret_is_printed_once_when_a_webhook_is_added_and_when_it_is_rotated(wheelfarm: Call) -> None:
    url = f"https://hooks.example/{SECRET_PATH}"
    first = wheelfarm("webhook", "add", "chat", url, "--event", "build.failed", "--event", "alarm.opened")
    second = wheelfarm("webhook", "rotate-secret", "chat", "--json").json

    assert first.out.startswith("whsec_")
    assert "told of build.failed, alarm.opened" in first.err
    assert second["secret"].startswith("whsec_")
    assert second["secret"] != first.out.strip()
    for shown in (wheelfarm("webhook", "list"), wheelfarm("webhook", "list", "--json"), wheelfarm("audit", "--json")):
        assert not any(text in shown.out + shown.err for text in ("whsec_", SECRET_PATH))
    [row] = wheelfarm("webhook", "list", "--json").json
    assert (row["name"], row["state"], row["where"], row["waiting"]) == ("chat", "on", "https://hooks.example/…", 0)
    assert row["events"] == ["build.failed", "alarm.opened"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["Chat", "https://h.example/"], "not a name of a webhook"),
        (["chat", "ftp://h.example/"], "not an address that a webhook can have"),
        (["chat", "https://ada:pw@h.example/"], "the address holds a user or password"),
        (["chat", "https://h.example/", "--event", "build.done"], "'build.done' is not one of"),
    ],
)
def test_what_cannot_be_a_webhook_is_refused(wheelfarm: Call, arguments: list[str], told: str) -> None:
    called = wheelfarm("webhook", "add", *arguments)

    assert (called.code, told in called.err) == (2, True), called.err


def test_a_name_is_taken_once_and_there_are_not_more_than_so_many(wheelfarm: Call) -> None:
    for number in range(MOST_WEBHOOKS - 1):
        assert wheelfarm("webhook", "add", f"hook-{number}", "https://h.example/").code == 0

    assert "there is a webhook hook-0 already" in wheelfarm("webhook", "add", "hook-0", "https://h.example/").err
    assert wheelfarm("webhook", "add", "last", "https://h.example/").code == 0
    assert f"there are {MOST_WEBHOOKS} webhooks" in wheelfarm("webhook", "add", "more", "https://h.example/").err


@pytest.mark.parametrize("command", ["remove", "enable", "test", "deliveries", "resend", "rotate-secret"])
def test_one_that_is_not_there_is_told(wheelfarm: Call, command: str) -> None:
    called = wheelfarm("webhook", command, "chat")

    assert (called.code, "there is no webhook 'chat' (wheelfarm webhook list" in called.err) == (2, True)


@pytest.mark.usefixtures("private")
def test_a_test_sends_a_signed_ping_and_says_what_came_of_it(wheelfarm: Call, receiver: Receiver) -> None:
    secret = wheelfarm("webhook", "add", "chat", receiver.url).out.strip()

    good = wheelfarm("webhook", "test", "chat")
    receiver.status = 403
    bad = wheelfarm("webhook", "test", "chat", "--json")

    assert (good.code, good.out.startswith("chat answered 200 within ")) == (0, True)
    assert (bad.code, bad.json["answered"], bad.json["status"]) == (1, False, 403)
    for taken in receiver.taken:
        assert Reader(secret).verify(taken.body, taken.headers)["type"] == "ping"


def test_a_test_of_a_private_address_names_the_setting(wheelfarm: Call, receiver: Receiver) -> None:
    wheelfarm("webhook", "add", "chat", receiver.url)

    called = wheelfarm("webhook", "test", "chat")

    assert (called.code, receiver.taken) == (1, [])
    assert "chat is not asked: 127.0.0.1 is 127.0.0.1, in a private network (webhooks.private_addresses" in called.out


def test_deliveries_are_listed_and_sent_again_all_or_one(wheelfarm: Call, database: Engine) -> None:
    assert wheelfarm("webhook", "list").out.startswith("there are no webhooks")
    wheelfarm("webhook", "add", "chat", "https://h.example/")
    assert wheelfarm("webhook", "deliveries", "chat").out.startswith("nothing was to be sent to chat yet")
    with transaction(database) as session:
        alarms.settle(session, {"one": "a\x1b[31m", "two": "b", "three": "c"})
        done, lost, _ = hooks.deliveries(session)
        moment = now(session)
        done.outcome, done.ended_at = "delivered", moment
        lost.outcome, lost.ended_at, lost.told = "given-up", moment, "answered 500"

    listed = wheelfarm("webhook", "deliveries", "chat", "--limit", "2")
    rows = wheelfarm("webhook", "deliveries", "chat", "--json").json

    assert [line.split()[1] for line in listed.out.splitlines()[1:]] == ["alarm.opened"] * 2
    assert [(row["id"], row["outcome"]) for row in rows] == [(3, None), (2, "given-up"), (1, "delivered")]
    assert rows[2]["data"]["text"] == "a␛[31m"
    assert "answered 500" in listed.out
    assert wheelfarm("webhook", "resend", "chat").out == "2 deliveries to chat are due now\n"
    assert wheelfarm("webhook", "resend", "chat", "1", "--json").json == {"deliveries": 1}
    assert "chat has no delivery 99" in wheelfarm("webhook", "resend", "chat", "99").err
    assert {row["outcome"] for row in wheelfarm("webhook", "deliveries", "chat", "--json").json} == {None}


def test_one_that_is_off_is_listed_with_the_reason_and_can_be_enabled(wheelfarm: Call, database: Engine) -> None:
    wheelfarm("webhook", "add", "chat", "https://h.example/", "--event", Event.BUILD_FAILED)
    with transaction(database) as session:
        found = table.named(session, "chat")
        found.disabled_at, found.disabled_because = now(session), "it failed for 5 days: answered 500"
        found.failures, found.failing_since = 9, now(session)

    assert "off" in wheelfarm("webhook", "list").out
    assert "it failed for 5 days: answered 500" in wheelfarm("webhook", "list").out
    assert "wheelfarm webhook enable chat" in wheelfarm("webhook", "resend", "chat").err
    assert wheelfarm("webhook", "enable", "chat").code == 0
    assert wheelfarm("webhook", "list", "--json").json[0]["state"] == "on"
    assert wheelfarm("webhook", "remove", "chat").out == "webhook chat is removed\n"
    assert wheelfarm("webhook", "list", "--json").json == []
