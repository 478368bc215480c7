"""Tell people of alarms by mail: each beginning and each end once, tried again until the relay takes it.

Programs are told by webhooks (``master.webhooks``).
"""

from __future__ import annotations

import logging
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Self

from sqlalchemy import Engine

from master.keep import alarms
from schema.db.models import Alarm
from schema.db.session import transaction
from schema.errors import FarmError, SettingsError
from schema.printable import one_line
from schema.sections import AlarmsSection

log = logging.getLogger(__name__)

_LIMIT_S = 20.0
_LONGEST_PAUSE_S = 3600.0
_SUBJECT = 150


class NotToldError(FarmError):
    """Nobody took the message; it is tried again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """An address that gets each alarm as plain text, through a relay that asks for no login."""

    recipient: Address
    sender: Address
    host: str
    port: int
    limit_s: float = _LIMIT_S

    def send(self, message: Mapping[str, Any]) -> None:
        """Raise NotToldError if the relay does not take it."""
        mail = EmailMessage()
        mail["Subject"] = one_line(f"[{message['farm']}] {message['state']}: {message['text']}", limit=_SUBJECT)
        mail["From"], mail["To"] = self.sender, self.recipient
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=self.sender.domain)
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday note answers it
        mail.set_content("\n".join(f"{key}: {one_line(str(value or '-'))}" for key, value in message.items()))
        try:
            with smtplib.SMTP(timeout=self.limit_s) as server, _cut_after(2 * self.limit_s, server):
                server.connect(self.host, self.port)
                server.send_message(mail)
        except (smtplib.SMTPException, OSError) as err:
            raise NotToldError(f"the mail server {self.host}:{self.port} did not take the mail: {_said(err)}") from err


class Notifier:
    """Tells what is untold, by *send*; where that fails it is left alone for a growing time."""

    def __init__(self, database: Engine, send: Callable[[Mapping[str, Any]], None] | None, *, farm: str) -> None:
        self._database, self._send, self._farm = database, send, farm
        self._failures = 0
        self.not_before = 0.0

    @classmethod
    def from_settings(cls, database: Engine, settings: AlarmsSection, *, farm: str) -> Self:
        """As *settings* say, nobody if they name no recipient; raise SettingsError if it cannot be."""
        return cls(database, _mail(settings).send if settings.mail_to else None, farm=farm)

    def tell(self) -> int:
        """Tell every alarm that is to be told now; say how many are done with."""
        with transaction(self._database) as session:
            waiting = [(alarm, self._message(alarm)) for alarm in alarms.untold(session)]
        done = 0
        for alarm, message in waiting:
            if self._is_told(alarm, message):
                with transaction(self._database) as session:
                    alarms.told(session, alarm.id, ended_at=alarm.ended_at)
                done += 1
        return done

    def _is_told(self, alarm: Alarm, message: Mapping[str, Any]) -> bool:
        if self._send is None:
            return True
        if time.monotonic() < self.not_before:
            return False
        try:
            self._send(message)
        except NotToldError as err:
            self._failures += 1
            pause_s = min(5.0 * 2.0 ** min(self._failures, 20), _LONGEST_PAUSE_S)
            self.not_before = time.monotonic() + pause_s
            log.warning("alarm %s is not told by mail yet: %s; again in %.0f s", alarm.name, err, pause_s)
            return False
        self._failures, self.not_before = 0, 0.0
        return True

    def _message(self, alarm: Alarm) -> dict[str, Any]:
        return {
            "farm": self._farm,
            "alarm": alarm.name,
            "state": "ended" if alarm.ended_at else "raised",
            "text": alarm.text,
            "raised_at": alarm.raised_at.isoformat(),
            "ended_at": alarm.ended_at.isoformat() if alarm.ended_at else None,
        }


def _mail(settings: AlarmsSection) -> Mail:
    host, _, port = settings.mail_server.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:  # noqa: PLR2004 - TCP
        raise SettingsError(f"alarms.mail_server: {settings.mail_server!r} is not HOST:PORT, such as localhost:25")
    return Mail(
        recipient=_address(settings.mail_to, "mail_to"),
        sender=_address(settings.mail_from or settings.mail_to, "mail_from"),
        host=host.strip("[]"),
        port=int(port),
    )


def _address(text: str, key: str) -> Address:
    """One plain address; a line break in it would add headers, and is none."""
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError) as err:  # IndexError: the library's own, for an address that breaks off
        raise SettingsError(f"alarms.{key}: {text!r} is not one mail address, such as farm@example.org") from err
    if not address.domain or not text.isprintable() or not text.isascii():
        raise SettingsError(f"alarms.{key}: {text!r} is not one mail address, such as farm@example.org")
    return address


@contextmanager
def _cut_after(seconds: float, server: smtplib.SMTP) -> Iterator[None]:
    """End the conversation then, for the socket's own time-out begins anew with each byte."""

    def cut() -> None:
        if server.sock is not None:
            with suppress(OSError):
                server.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _said(err: Exception) -> str:
    return one_line(str(err), limit=200) or type(err).__name__
