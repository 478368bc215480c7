"""Messages arrive at least once, signed, whatever the receiver, the network or the master does meanwhile."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select
from standardwebhooks.webhooks import Webhook as Reader

from master import builds
from master.keep import alarms, old
from master.webhooks import events, outbox
from schema.db import webhooks as table
from schema.db.models import AuditEntry, Delivery, DirtyPage, Webhook
from schema.db.session import now, transaction
from schema.errors import UsageError
from schema.states import BuildState
from tests import hooks, rows
from tests.master.webhooks.conftest import Offices
from tests.receiver import SECRET_PATH, Receiver

ALARM = {"disk-low": "only 1.0 GiB are free"}


def _hook(database: Engine, url: str, name: str = "chat") -> str:
    """A webhook; its secret."""
    with transaction(database) as session:
        return hooks.hook(session, name, url).secret


def _happens(database: Engine, **wrong: str) -> None:
    with transaction(database) as session:
        alarms.settle(session, wrong or ALARM)


def _state(database: Engine, name: str = "chat") -> Webhook:
    with transaction(database) as session:
        return table.named(session, name)


def _deliveries(database: Engine) -> list[Delivery]:
    with transaction(database) as session:
        return hooks.deliveries(session)


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


def test_a_message_arrives_once_signed_so_that_another_implementation_takes_it(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    secret = _hook(database, receiver.url)
    _happens(database)
    here = office()

    here.turn()
    here.turn()

    [taken] = receiver.taken
    message = Reader(secret).verify(taken.body, taken.headers)
    assert taken.headers["content-type"] == "application/json"
    assert message["type"] == "alarm.opened"
    assert message["data"]["farm"] == "home"
    assert message["data"]["text"] == ALARM["disk-low"]
    assert message["timestamp"].endswith("Z")
    assert datetime.fromisoformat(message["timestamp"]) <= datetime.now(UTC)
    [delivery] = _deliveries(database)
    assert (delivery.outcome, delivery.tries, delivery.told) == ("delivered", 1, "answered 200")
    assert taken.headers["webhook-id"] == delivery.message
    assert _state(database).succeeded_at == delivery.ended_at


def test_a_wheel_is_told_of_when_its_pages_show_it_with_where_it_is(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    _hook(database, receiver.url)
    with transaction(database) as session:
        wheel = rows.wheel(session, rows.build(session, state=BuildState.PUBLISHED))
        builds.touch_page(session, wheel.project_id)
        events.wheel_published(session, wheel)
    here = office()

    here.turn()
    assert receiver.taken == []
    with transaction(database) as session:
        session.delete(session.get_one(DirtyPage, wheel.project_id))
    here.turn()

    data = receiver.taken[0].json["data"]
    assert data["url"] == f"https://wheels.example/files/{wheel.filename}"
    assert data["page"] == f"https://wheels.example/build/{wheel.build_id}/"
    assert (data["sha256"], data["size_bytes"]) == (wheel.sha256, 1000)


def test_a_receiver_that_was_down_gets_the_same_message_with_the_same_id_once_it_is_up(
    database: Engine, office: Offices
) -> None:
    port = _free_port()
    secret = _hook(database, f"http://127.0.0.1:{port}/")
    _happens(database)
    here = office()

    here.turn()
    [failed] = _deliveries(database)
    assert (failed.outcome, failed.tries, failed.told) == (None, 1, "did not answer (Connection refused)")
    assert _state(database).trouble == "did not answer (Connection refused)"
    with Receiver(port=port) as receiver:
        here.turn()
        assert receiver.taken == []  # it pauses
        hooks.due_now(database)
        here.turn()

        [taken] = receiver.taken
    Reader(secret).verify(taken.body, taken.headers)
    assert taken.headers["webhook-id"] == failed.message
    assert (_state(database).failures, _state(database).trouble) == (0, "")


@pytest.mark.parametrize("status", [100, 199, 300, 304, 400, 404, 429, 500, 503])
def test_whatever_is_no_success_is_tried_again(
    database: Engine, office: Offices, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    _hook(database, receiver.url)
    _happens(database)
    here = office(limit_s=2.0)

    here.turn()
    receiver.status = 204
    hooks.due_now(database)
    here.turn()

    bodies = {taken.body for taken in receiver.taken}
    ids = {taken.headers["webhook-id"] for taken in receiver.taken}
    assert (len(receiver.taken), len(bodies), len(ids)) == (2, 1, 1)
    assert _deliveries(database)[0].outcome == "delivered"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(database: Engine, office: Offices, receiver: Receiver, status: int) -> None:
    with Receiver() as elsewhere:
        receiver.status, receiver.headers = status, {"Location": elsewhere.url}
        _hook(database, receiver.url)
        _happens(database)

        office().turn()

        assert elsewhere.taken == []
    assert _state(database).trouble == f"answered {status}"


def test_a_receiver_that_wants_no_more_is_switched_off_and_what_waited_is_given_up(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.status = 410
    _hook(database, receiver.url)
    _happens(database, one="1", two="2")

    office().turn()
    _happens(database, three="3")

    assert _state(database).disabled_because == "the receiver answered 410: it wants no more"
    assert [item.outcome for item in _deliveries(database)] == ["given-up"] * 2
    assert len(receiver.taken) == 1
    with transaction(database) as session, pytest.raises(UsageError, match="wheelfarm webhook enable chat"):
        table.resend(session, table.named(session, "chat"), who="ada@host")


def test_one_that_hangs_delays_no_other(database: Engine, office: Offices, receiver: Receiver) -> None:
    with Receiver() as hanging:
        hanging.go_on.clear()
        _hook(database, hanging.url, "hanging")
        _hook(database, receiver.url, "good")
        _happens(database, **{f"alarm-{number}": "x" for number in range(30)})
        here = office()

        here.sender.turn()
        receiver.wait(30)
        here.sender.turn()

        assert len(hanging.wait(1)) == len(hanging.taken) == 1
        hanging.go_on.set()


def test_one_that_drips_is_cut_off(database: Engine, office: Offices, receiver: Receiver) -> None:
    receiver.drips = True
    _hook(database, receiver.url)
    _happens(database)

    office(limit_s=1.0).turn()

    assert _state(database).trouble == "took longer than 1 s"


def test_private_networks_are_not_reached_unless_that_is_set(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    _hook(database, receiver.url)
    _hook(database, receiver.url.replace("127.0.0.1", "localhost"), "by-name")
    _happens(database)

    office(private=False).turn()

    assert receiver.taken == []
    for name, host in (("chat", "127.0.0.1"), ("by-name", "localhost")):
        told = f"is not asked: {host} is 127.0.0.1, in a private network (webhooks.private_addresses allows it)"
        assert _state(database, name).trouble == told


def test_after_a_rotation_both_secrets_sign_for_a_day(database: Engine, office: Offices, receiver: Receiver) -> None:
    first = _hook(database, receiver.url)
    with transaction(database) as session:
        second = table.rotate(session, table.named(session, "chat"), who="ada@host")
    here = office()
    _happens(database)
    here.turn()
    for secret in (first, second):
        Reader(secret).verify(receiver.taken[0].body, receiver.taken[0].headers)

    hooks.later(database, hours=25)
    _happens(database, other="x")
    here.turn()

    last = receiver.taken[-1]
    Reader(second).verify(last.body, last.headers)
    assert len(last.headers["webhook-signature"].split()) == 1


def test_a_message_is_tried_for_days_with_growing_pauses_then_given_up_and_can_be_sent_again(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.status = 500
    _hook(database, receiver.url)
    _happens(database)
    here, pauses = office(), []

    while _deliveries(database)[0].outcome is None:
        before = datetime.now(UTC)
        here.turn()
        pauses.append(_deliveries(database)[0].due_at - before)
        hooks.due_now(database)

    assert len(receiver.taken) == len(outbox.PAUSES) + 1
    for pause, least in zip(pauses, outbox.PAUSES, strict=False):
        assert least <= pause <= least * 1.1 + timedelta(seconds=20)
    assert _deliveries(database)[0].outcome == "given-up"
    receiver.status = 200
    with transaction(database) as session:
        assert table.resend(session, table.named(session, "chat"), who="ada@host") == 1
    here.turn()
    assert _deliveries(database)[0].outcome == "delivered"
    assert len({taken.headers["webhook-id"] for taken in receiver.taken}) == 1


def test_a_message_of_days_ago_is_given_up_after_one_more_try(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.status = 500
    _hook(database, receiver.url)
    _happens(database)
    hooks.later(database, days=5)

    office().turn()

    assert (_deliveries(database)[0].outcome, _deliveries(database)[0].tries) == ("given-up", 1)


def test_a_webhook_that_fails_for_days_is_switched_off(database: Engine, office: Offices, receiver: Receiver) -> None:
    receiver.status = 500
    _hook(database, receiver.url)
    here = office()
    _happens(database)
    here.turn()
    hooks.later(database, days=6)
    _happens(database, other="x")

    here.turn()

    assert _state(database).disabled_because == "it failed for 5 days: answered 500"
    assert {item.outcome for item in _deliveries(database)} == {"given-up"}


def test_one_message_that_the_receiver_cannot_take_holds_up_no_other(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.status = 500
    _hook(database, receiver.url)
    _happens(database, one="1", two="2")
    here = office()
    here.turn()
    receiver.status = 200
    with transaction(database) as session:
        session.scalars(select(Webhook)).one().not_before = None

    here.turn()

    assert [item.outcome for item in _deliveries(database)] == [None, "delivered"]


@pytest.mark.parametrize(
    ("text", "hours"),
    [("7200", 2), ("Fri, 01 Jan 2100 00:00:00 GMT", 6), ("9" * 30, 6), ("9" * 5000, 0), ("-1", 0), ("soon", 0)],
)
def test_a_receiver_that_says_when_to_come_again_is_believed_within_bounds(
    database: Engine, office: Offices, receiver: Receiver, text: str, hours: int
) -> None:
    receiver.status, receiver.headers = 503, {"Retry-After": text}
    _hook(database, receiver.url)
    _happens(database)

    office().turn()

    not_before = _state(database).not_before
    assert not_before is not None
    assert round((not_before - datetime.now(UTC)) / timedelta(hours=1)) == hours


def test_a_storm_while_the_receiver_is_away_keeps_the_newest_and_says_how_many_went(
    database: Engine, office: Offices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 500)
    _hook(database, f"http://127.0.0.1:{_free_port()}/")
    _hook(database, f"http://127.0.0.1:{_free_port()}/", "other")
    with transaction(database) as session:
        alarms.settle(session, {f"alarm-{number}": "x" for number in range(1200)})

    office().turn()

    for name in ("chat", "other"):
        with transaction(database) as session:
            found = table.named(session, name)
            kept = table.deliveries(session, found, limit=2000)
        assert (len(kept), found.dropped) == (500, 700)
        assert kept[0].data["alarm"] == "alarm-1199"
        assert kept[-1].data["alarm"] == "alarm-700"


def test_what_ended_is_forgotten_beyond_a_number_and_a_time(
    database: Engine, office: Offices, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_ENDED", 3)
    _hook(database, receiver.url)
    here = office()
    for number in range(8):
        _happens(database, **{f"alarm-{number}": "x"})
        here.turn()

    assert len(_deliveries(database)) <= 5
    with transaction(database) as session:
        for item in hooks.deliveries(session):
            item.ended_at = now(session) - timedelta(days=31)
        session.flush()
        old.forget_rows(session)
        assert hooks.deliveries(session) == []


def test_a_ping_is_tried_once(database: Engine, office: Offices, receiver: Receiver) -> None:
    receiver.status = 500
    _hook(database, receiver.url)
    with transaction(database) as session:
        table.ping(session, table.named(session, "chat"), who="ada@host")

    office().turn()

    [ping] = _deliveries(database)
    assert (ping.event, ping.outcome, ping.told) == ("ping", "given-up", "answered 500")
    assert receiver.taken[0].json["data"] == {"farm": "home", "webhook": "chat"}


def test_a_webhook_that_is_removed_while_it_is_told_is_gone(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.go_on.clear()
    _hook(database, receiver.url)
    _happens(database)
    here = office()
    here.sender.turn()
    receiver.wait(1)
    with transaction(database) as session:
        table.remove(session, table.named(session, "chat", keep=True), who="ada@host")
    receiver.go_on.set()

    here.turn()

    with transaction(database) as session:
        assert session.scalars(select(Webhook)).all() == []
        assert session.scalars(select(Delivery)).all() == []


def test_nothing_secret_is_in_the_log_the_trail_or_what_is_told(
    database: Engine, office: Offices, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="master")
    receiver.status = 500
    secret = _hook(database, receiver.url)
    nowhere = _hook(database, f"http://127.0.0.1:{_free_port()}/{SECRET_PATH}", "nowhere")
    _hook(database, f"http://no-such-host.invalid/{SECRET_PATH}", "unknown")
    _happens(database)

    office().turn()

    with transaction(database) as session:
        trail = [str((row.before, row.after, row.reason)) for row in session.scalars(select(AuditEntry))]
        told = [str((item.webhook.trouble, item.webhook.disabled_because)) for item in table.everyone(session)]
        told += [row.told for row in hooks.deliveries(session)]
    for text in (caplog.text, *trail, *told):
        assert not any(found in text for found in (SECRET_PATH, secret, nowhere, "whsec_"))
    assert "webhook chat answered 500; it is tried again" in caplog.text


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
    secret = _hook(database, receiver.url)
    _happens(database)

    killed = subprocess.run([sys.executable, "-c", _KILLED, database_url, where], check=False, timeout=60)

    assert killed.returncode == -signal.SIGKILL
    office().turn()
    assert len(receiver.taken) == times
    assert len({taken.headers["webhook-id"] for taken in receiver.taken}) == 1
    for taken in receiver.taken:
        Reader(secret).verify(taken.body, taken.headers)
    assert _deliveries(database)[0].outcome == "delivered"


def test_a_sender_that_was_stopped_sends_nothing_more(database: Engine, office: Offices, receiver: Receiver) -> None:
    _hook(database, receiver.url)
    _happens(database)
    here = office()
    here.sender.stop()

    here.turn()

    assert receiver.taken == []
