"""A message is sent again until it is taken or given up, whatever the receiver, the network or the master does."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select
from standardwebhooks.webhooks import Webhook as Reader

from master.keep import alarms, old
from master.webhooks import outbox
from schema.db import webhooks as table
from schema.db.models import Webhook
from schema.db.session import now, transaction
from schema.errors import UsageError
from tests import hooks
from tests.master.webhooks import kit
from tests.master.webhooks.conftest import Offices
from tests.receiver import Receiver


def test_a_receiver_that_was_down_gets_the_same_message_with_the_same_id_once_it_is_up(
    database: Engine, office: Offices
) -> None:
    port = kit.free_port()
    secret = kit.hook(database, f"http://127.0.0.1:{port}/")
    kit.happens(database)
    here = office()

    here.turn()
    [failed] = kit.deliveries(database)
    assert (failed.outcome, failed.tries, failed.told) == (None, 1, "did not answer (Connection refused)")
    assert kit.state(database).trouble == "did not answer (Connection refused)"
    with Receiver(port=port) as receiver:
        here.turn()
        assert receiver.taken == []  # it pauses
        hooks.due_now(database)
        here.turn()

        [taken] = receiver.taken
    Reader(secret).verify(taken.body, taken.headers)
    assert taken.headers["webhook-id"] == failed.message
    assert (kit.state(database).failures, kit.state(database).trouble) == (0, "")


@pytest.mark.parametrize("status", [100, 199, 300, 304, 400, 404, 429, 500, 503])
def test_whatever_is_no_success_is_tried_again(
    database: Engine, office: Offices, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    kit.hook(database, receiver.url)
    kit.happens(database)
    here = office(limit_s=2.0)

    here.turn()
    receiver.status = 204
    hooks.due_now(database)
    here.turn()

    bodies = {taken.body for taken in receiver.taken}
    ids = {taken.headers["webhook-id"] for taken in receiver.taken}
    assert (len(receiver.taken), len(bodies), len(ids)) == (2, 1, 1)
    assert kit.deliveries(database)[0].outcome == "delivered"


def test_a_receiver_that_wants_no_more_is_switched_off_and_what_waited_is_given_up(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.status = 410
    kit.hook(database, receiver.url)
    kit.happens(database, one="1", two="2")

    office().turn()
    kit.happens(database, three="3")

    assert kit.state(database).disabled_because == "the receiver answered 410: it wants no more"
    assert [item.outcome for item in kit.deliveries(database)] == ["given-up"] * 2
    assert len(receiver.taken) == 1
    with transaction(database) as session, pytest.raises(UsageError, match="wheelfarm webhook enable chat"):
        table.resend(session, table.named(session, "chat"), who="ada@host")


def test_a_message_is_tried_for_days_with_growing_pauses_then_given_up_and_can_be_sent_again(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.status = 500
    kit.hook(database, receiver.url)
    kit.happens(database)
    here, pauses = office(), []

    while kit.deliveries(database)[0].outcome is None:
        before = datetime.now(UTC)
        here.turn()
        pauses.append(kit.deliveries(database)[0].due_at - before)
        hooks.due_now(database)

    assert len(receiver.taken) == len(outbox.PAUSES) + 1
    for pause, least in zip(pauses, outbox.PAUSES, strict=False):
        assert least <= pause <= least * 1.1 + timedelta(seconds=20)
    assert kit.deliveries(database)[0].outcome == "given-up"
    receiver.status = 200
    with transaction(database) as session:
        assert table.resend(session, table.named(session, "chat"), who="ada@host") == 1
    here.turn()
    assert kit.deliveries(database)[0].outcome == "delivered"
    assert len({taken.headers["webhook-id"] for taken in receiver.taken}) == 1


def test_a_message_of_days_ago_is_given_up_after_one_more_try(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.status = 500
    kit.hook(database, receiver.url)
    kit.happens(database)
    hooks.later(database, days=5)

    office().turn()

    assert (kit.deliveries(database)[0].outcome, kit.deliveries(database)[0].tries) == ("given-up", 1)


def test_a_webhook_that_fails_for_days_is_switched_off(database: Engine, office: Offices, receiver: Receiver) -> None:
    receiver.status = 500
    kit.hook(database, receiver.url)
    here = office()
    kit.happens(database)
    here.turn()
    hooks.later(database, days=6)
    kit.happens(database, other="x")

    here.turn()

    assert kit.state(database).disabled_because == "it failed for 5 days: answered 500"
    assert {item.outcome for item in kit.deliveries(database)} == {"given-up"}


def test_one_message_that_the_receiver_cannot_take_holds_up_no_other(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.status = 500
    kit.hook(database, receiver.url)
    kit.happens(database, one="1", two="2")
    here = office()
    here.turn()
    receiver.status = 200
    with transaction(database) as session:
        session.scalars(select(Webhook)).one().not_before = None

    here.turn()

    assert [item.outcome for item in kit.deliveries(database)] == [None, "delivered"]


@pytest.mark.parametrize(
    ("text", "hours"),
    [("7200", 2), ("Fri, 01 Jan 2100 00:00:00 GMT", 6), ("9" * 30, 6), ("9" * 5000, 0), ("-1", 0), ("soon", 0)],
)
def test_a_receiver_that_says_when_to_come_again_is_believed_within_bounds(
    database: Engine, office: Offices, receiver: Receiver, text: str, hours: int
) -> None:
    receiver.status, receiver.headers = 503, {"Retry-After": text}
    kit.hook(database, receiver.url)
    kit.happens(database)

    office().turn()

    not_before = kit.state(database).not_before
    assert not_before is not None
    assert round((not_before - datetime.now(UTC)) / timedelta(hours=1)) == hours


def test_a_storm_while_the_receiver_is_away_keeps_the_newest_and_says_how_many_went(
    database: Engine, office: Offices
) -> None:
    kit.hook(database, f"http://127.0.0.1:{kit.free_port()}/")
    kit.hook(database, f"http://127.0.0.1:{kit.free_port()}/", "other")
    with transaction(database) as session:
        alarms.settle(session, {f"alarm-{number}": "x" for number in range(1200)})

    office(most_waiting=500).turn()

    for name in ("chat", "other"):
        with transaction(database) as session:
            found = table.named(session, name)
            kept = table.deliveries(session, found, limit=2000)
        assert (len(kept), found.dropped) == (500, 700)
        assert kept[0].data["alarm"] == "alarm-1199"
        assert kept[-1].data["alarm"] == "alarm-700"


def test_what_ended_is_forgotten_beyond_a_number_and_a_time(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    kit.hook(database, receiver.url)
    here = office(most_ended=3)
    for number in range(8):
        kit.happens(database, **{f"alarm-{number}": "x"})
        here.turn()

    assert len(kit.deliveries(database)) <= 5
    with transaction(database) as session:
        for item in hooks.deliveries(session):
            item.ended_at = now(session) - timedelta(days=31)
        session.flush()
        old.forget_rows(session)
        assert hooks.deliveries(session) == []


def test_a_ping_is_tried_once(database: Engine, office: Offices, receiver: Receiver) -> None:
    receiver.status = 500
    kit.hook(database, receiver.url)
    with transaction(database) as session:
        table.ping(session, table.named(session, "chat"), who="ada@host")

    office().turn()

    [ping] = kit.deliveries(database)
    assert (ping.event, ping.outcome, ping.told) == ("ping", "given-up", "answered 500")
    assert receiver.taken[0].json["data"] == {"farm": "home", "webhook": "chat"}


_KILLED = """
import os, signal, sys
from master.webhooks import outbox
from master.webhooks.sender import Letterhead, Sender
from schema.db.session import engine

where = sys.argv[2]
if where == "before":
    Letterhead.send = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
else:
    outbox.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
database = engine(sys.argv[1])
sender = Sender(
    database=database, snapshot=database, letterhead=Letterhead(farm="home", address="http://x", private=True)
)
sender.turn()
for thread in sender._at_work.values():
    thread.join(30)
"""


@pytest.mark.parametrize(("where", "times"), [("before", 1), ("after", 2)])
def test_a_master_that_is_killed_before_it_sent_a_message_or_noted_that_it_did_loses_none(  # noqa: PLR0917 - fixtures
    database: Engine, database_url: str, office: Offices, receiver: Receiver, where: str, times: int
) -> None:
    secret = kit.hook(database, receiver.url)
    kit.happens(database)

    killed = subprocess.run([sys.executable, "-c", _KILLED, database_url, where], check=False, timeout=60)

    assert killed.returncode == -signal.SIGKILL
    office().turn()
    assert len(receiver.taken) == times
    assert len({taken.headers["webhook-id"] for taken in receiver.taken}) == 1
    for taken in receiver.taken:
        Reader(secret).verify(taken.body, taken.headers)
    assert kit.deliveries(database)[0].outcome == "delivered"
