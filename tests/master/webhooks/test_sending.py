"""Messages arrive signed, and nothing that a receiver or an address does harms another, or tells a secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from standardwebhooks.webhooks import Webhook as Reader

from master import builds
from master.webhooks import events
from schema.db import webhooks as table
from schema.db.models import AuditEntry, Delivery, DirtyPage, Webhook
from schema.db.session import transaction
from schema.states import BuildState
from tests import hooks, rows
from tests.master.webhooks import kit
from tests.master.webhooks.conftest import Offices
from tests.receiver import SECRET_PATH, Receiver
from tests.redis_server import Authority


def test_a_message_arrives_once_signed_so_that_another_implementation_takes_it(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    secret = kit.hook(database, receiver.url)
    kit.happens(database)
    here = office()

    here.turn()
    here.turn()

    [taken] = receiver.taken
    message = Reader(secret).verify(taken.body, taken.headers)
    assert taken.headers["content-type"] == "application/json"
    assert message["type"] == "alarm.opened"
    assert message["data"]["farm"] == "home"
    assert message["data"]["text"] == kit.ALARM["disk-low"]
    assert message["timestamp"].endswith("Z")
    assert datetime.fromisoformat(message["timestamp"]) <= datetime.now(UTC)
    [delivery] = kit.deliveries(database)
    assert (delivery.outcome, delivery.tries, delivery.told) == ("delivered", 1, "answered 200")
    assert taken.headers["webhook-id"] == delivery.message
    assert kit.state(database).succeeded_at == delivery.ended_at


def test_a_wheel_is_told_of_when_its_pages_show_it_with_where_it_is(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    kit.hook(database, receiver.url)
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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(database: Engine, office: Offices, receiver: Receiver, status: int) -> None:
    with Receiver() as elsewhere:
        receiver.status, receiver.headers = status, {"Location": elsewhere.url}
        kit.hook(database, receiver.url)
        kit.happens(database)

        office().turn()

        assert elsewhere.taken == []
    assert kit.state(database).trouble == f"answered {status}"


def test_one_that_hangs_delays_no_other(database: Engine, office: Offices, receiver: Receiver) -> None:
    with Receiver() as hanging:
        hanging.go_on.clear()
        kit.hook(database, hanging.url, "hanging")
        kit.hook(database, receiver.url, "good")
        kit.happens(database, **{f"alarm-{number}": "x" for number in range(30)})
        here = office()

        here.sender.turn()
        receiver.wait(30)
        here.sender.turn()

        assert len(hanging.wait(1)) == len(hanging.taken) == 1
        hanging.go_on.set()


def test_one_that_drips_is_cut_off(database: Engine, office: Offices, receiver: Receiver) -> None:
    receiver.drips = True
    kit.hook(database, receiver.url)
    kit.happens(database)

    office(limit_s=1.0).turn()

    assert kit.state(database).trouble == "took longer than 1 s"


def test_private_networks_are_not_reached_unless_that_is_set(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    kit.hook(database, receiver.url)
    kit.hook(database, receiver.url.replace("127.0.0.1", "localhost"), "by-name")
    kit.happens(database)

    office(private=False).turn()

    assert receiver.taken == []
    for name, host in (("chat", "127.0.0.1"), ("by-name", "localhost")):
        told = f"is not asked: {host} is 127.0.0.1, in a private network (webhooks.private_addresses allows it)"
        assert kit.state(database, name).trouble == told


def test_after_a_rotation_both_secrets_sign_for_a_day(database: Engine, office: Offices, receiver: Receiver) -> None:
    first = kit.hook(database, receiver.url)
    with transaction(database) as session:
        second = table.rotate(session, table.named(session, "chat"), who="ada@host")
    here = office()
    kit.happens(database)
    here.turn()
    for secret in (first, second):
        Reader(secret).verify(receiver.taken[0].body, receiver.taken[0].headers)

    hooks.later(database, hours=25)
    kit.happens(database, other="x")
    here.turn()

    last = receiver.taken[-1]
    Reader(second).verify(last.body, last.headers)
    assert len(last.headers["webhook-signature"].split()) == 1


def test_a_webhook_that_is_removed_while_it_is_told_is_gone(
    database: Engine, office: Offices, receiver: Receiver
) -> None:
    receiver.go_on.clear()
    kit.hook(database, receiver.url)
    kit.happens(database)
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
    secret = kit.hook(database, receiver.url)
    nowhere = kit.hook(database, f"http://127.0.0.1:{kit.free_port()}/{SECRET_PATH}", "nowhere")
    kit.hook(database, f"http://no-such-host.invalid/{SECRET_PATH}", "unknown")
    kit.happens(database)

    office().turn()

    with transaction(database) as session:
        trail = [str((row.before, row.after, row.reason)) for row in session.scalars(select(AuditEntry))]
        told = [str((item.webhook.trouble, item.webhook.disabled_because)) for item in table.everyone(session)]
        told += [row.told for row in hooks.deliveries(session)]
    for text in (caplog.text, *trail, *told):
        assert not any(found in text for found in (SECRET_PATH, secret, nowhere, "whsec_"))
    assert "webhook chat answered 500; it is tried again" in caplog.text


def test_a_sender_that_was_stopped_sends_nothing_more(database: Engine, office: Offices, receiver: Receiver) -> None:
    kit.hook(database, receiver.url)
    kit.happens(database)
    here = office()
    here.sender.stop()

    here.turn()

    assert receiver.taken == []


def test_a_receiver_over_tls_is_told_where_its_authority_is_trusted(
    database: Engine, office: Offices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "ca")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Receiver(certificate=authority.issue()) as receiver:
        secret = kit.hook(database, receiver.url)
        kit.happens(database)

        office().turn()

        [taken] = receiver.taken
    Reader(secret).verify(taken.body, taken.headers)
    assert kit.deliveries(database)[0].outcome == "delivered"


@pytest.mark.parametrize("wrong", ["authority", "name", "ended"])
def test_a_receiver_whose_certificate_proves_nothing_is_told_nothing(
    database: Engine, office: Offices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    trusted, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.file))
    certificate, why = {
        "authority": (other.issue(), "unable to get local issuer certificate"),
        "name": (trusted.issue("hooks.example"), "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        "ended": (trusted.issue(ends=datetime.now(UTC) - timedelta(days=1)), "certificate has expired"),
    }[wrong]
    with Receiver(certificate=certificate) as receiver:
        kit.hook(database, receiver.url)
        kit.happens(database)

        office().turn()

        assert receiver.taken == []
    assert kit.state(database).trouble == f"did not answer ({why})"
