"""Each alarm and its end is told once, by a real mail server."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from email.headerregistry import Address
from email.message import Message
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import Engine

from master.keep import alarms
from master.keep.notify import Mail, Notifier, NotToldError
from schema.db.models import Alarm
from schema.db.session import transaction
from schema.errors import SettingsError
from schema.sections import AlarmsSection


class Postbox:
    """An SMTP server's handler that keeps the mails, or refuses them."""

    def __init__(self) -> None:
        self.refuses = False
        self.mails: list[Message] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        if self.refuses:
            return "452 the disk is full"
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def mail_server(postbox: Postbox) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    controller = Controller(postbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield f"127.0.0.1:{port}"
    controller.stop()


def _settings(**values: Any) -> AlarmsSection:
    return AlarmsSection(**values)


def _settle(database: Engine, **wrong: str) -> None:
    with transaction(database) as session:
        alarms.settle(session, wrong)


def test_a_beginning_and_an_end_are_told_once_each(database: Engine, postbox: Postbox, mail_server: str) -> None:
    settings = _settings(mail_to="op@example.org", mail_server=mail_server)
    notifier = Notifier.from_settings(database, settings, farm="home")
    _settle(database, disk="only 1.0 GiB are free")

    assert [notifier.tell(), notifier.tell()] == [1, 0]
    _settle(database)
    assert [notifier.tell(), notifier.tell()] == [1, 0]

    assert [mail["Subject"] for mail in postbox.mails] == [
        "[home] raised: only 1.0 GiB are free",
        "[home] ended: only 1.0 GiB are free",
    ]
    assert (postbox.mails[0]["To"], postbox.mails[0]["From"]) == ("op@example.org", "op@example.org")
    assert postbox.mails[0].get_content_type() == "text/plain"


def test_an_alarm_that_ended_while_it_was_told_has_its_end_told_next(database: Engine) -> None:
    sent = []

    def ends_meanwhile(message: Any) -> None:
        sent.append(message["state"])
        _settle(database)

    notifier = Notifier(database, ends_meanwhile, farm="home")
    _settle(database, disk="full")

    notifier.tell()
    notifier.tell()
    notifier.tell()

    assert sent == ["raised", "ended"]


def test_an_alarm_that_nobody_could_be_told_of_before_it_ended_is_told_as_ended(database: Engine) -> None:
    sent: list[str] = []
    notifier = Notifier(database, lambda message: sent.append(message["state"]), farm="home")
    _settle(database, disk="full")
    _settle(database)

    notifier.tell()
    notifier.tell()

    assert sent == ["ended"]


def test_without_a_way_to_tell_the_log_is_enough(database: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _settle(database, disk="only 1.0 GiB are free")

    assert Notifier.from_settings(database, _settings(), farm="home").tell() == 1
    assert "alarm: only 1.0 GiB are free" in caplog.text


def test_what_the_relay_refuses_is_told_later(database: Engine, postbox: Postbox, mail_server: str) -> None:
    postbox.refuses = True
    settings = _settings(mail_to="op@example.org", mail_server=mail_server)
    notifier = Notifier.from_settings(database, settings, farm="home")
    _settle(database, disk="full")

    assert [notifier.tell(), notifier.tell()] == [0, 0]
    postbox.refuses = False
    notifier.not_before = 0.0  # its pause is over
    assert notifier.tell() == 1

    assert len(postbox.mails) == 1


def test_a_way_that_fails_is_left_alone_for_a_growing_time(database: Engine, caplog: pytest.LogCaptureFixture) -> None:
    tries = []

    def fails(_message: Any) -> None:
        tries.append(1)
        raise NotToldError("no answer")

    notifier = Notifier(database, fails, farm="home")
    _settle(database, one="1", two="2", three="3")
    pauses = []
    for _ in range(3):
        notifier.tell()
        pauses += [record.args[2] for record in caplog.records if "is not told" in record.msg and record.args]  # type: ignore[index]
        caplog.clear()
        notifier.not_before = 0.0

    assert len(tries) == 3
    assert pauses == [10.0, 20.0, 40.0]


def test_a_text_cannot_add_a_header_to_the_mail(database: Engine, postbox: Postbox, mail_server: str) -> None:
    settings = _settings(mail_to="op@example.org", mail_server=mail_server)
    notifier = Notifier.from_settings(database, settings, farm="home\r\nBcc: all@example.org")
    _settle(database, disk="full\r\nBcc: all@example.org\r\n\r\nbody\x1b[31m")

    notifier.tell()

    [mail] = postbox.mails
    assert mail["Bcc"] is None
    assert " ".join(mail["Subject"].split()) == (
        "[home Bcc: all@example.org] raised: full Bcc: all@example.org body␛[31m"
    )
    assert "\x1b" not in str(mail.get_payload(decode=True))


@pytest.mark.parametrize(
    "values",
    [
        {"mail_to": "op@example.org\r\nBcc: all@example.org"},
        {"mail_to": "op@example.org, all@example.org"},
        {"mail_to": "op"},
        {"mail_to": "op@"},
        {"mail_to": "op@example.org", "mail_from": "farm\n@example.org"},
        {"mail_to": "op@example.org", "mail_server": "localhost"},
        {"mail_to": "op@example.org", "mail_server": "localhost:0"},
        {"mail_to": "op@example.org", "mail_server": ":25"},
    ],
)
def test_a_way_that_cannot_be_is_refused_at_the_start(values: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"alarms\.mail_"):
        Notifier.from_settings(None, _settings(**values), farm="home")  # type: ignore[arg-type]


def test_a_mail_server_that_is_away_or_drips_is_an_error_in_bounded_time() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]

        def drip() -> None:
            connection, _ = server.accept()
            try:
                while True:
                    connection.sendall(b"2")
                    time.sleep(0.02)
            except OSError:
                connection.close()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        mail = _mail_to(port)
        with pytest.raises(NotToldError, match=f"the mail server 127.0.0.1:{port} did not take the mail"):
            mail.send({"farm": "home", "state": "raised", "text": "full"})
        thread.join(5)
    with pytest.raises(NotToldError, match="refused"):
        mail.send({"farm": "home", "state": "raised", "text": "full"})


def _mail_to(port: int) -> Mail:
    address = Address(addr_spec="op@example.org")
    return Mail(recipient=address, sender=address, host="127.0.0.1", port=port, limit_s=0.2)


def test_recent_alarms_are_the_open_ones_first(database: Engine) -> None:
    _settle(database, one="1")
    _settle(database, two="2")
    _settle(database, two="2", three="3")

    with transaction(database) as session:
        found: list[Alarm] = list(alarms.recent(session, limit=1))

    assert [alarm.name for alarm in found] == ["three", "two", "one"]
