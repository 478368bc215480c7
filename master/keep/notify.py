"""Tell people of alarms by one URL and by mail: each beginning and end once, tried again until somebody takes it.

The URL may hold a secret, so no message of an error ever repeats it.
"""

from __future__ import annotations

import json
import logging
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Self
from urllib.parse import urlsplit

from sqlalchemy import Engine

from master.keep import alarms
from master.webhooks.post import post
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
class Webhook:
    """A URL that takes each alarm as JSON by POST."""

    url: str
    limit_s: float = _LIMIT_S

    def send(self, message: Mapping[str, Any]) -> None:
        """Raise NotToldError unless the answer is a success (2xx) within *limit_s*."""
        answer = post(self.url, json.dumps(message).encode(), {}, private=True, limit_s=self.limit_s)
        if not answer.is_success:
            host = one_line(urlsplit(self.url).hostname or "?")
            raise NotToldError(f"the webhook at {host} {answer.told}")


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


@dataclass(slots=True)
class Channel:
    """One way to tell, what it told already, and when to try again."""

    name: str
    send: Callable[[Mapping[str, Any]], None]
    told: set[tuple[int, str]] = field(default_factory=set)
    failures: int = 0
    not_before: float = 0.0


class Notifier:
    """Tells what is untold; a channel that fails is left alone for a growing time, and the others go on."""

    def __init__(
        self, database: Engine, channels: Mapping[str, Callable[[Mapping[str, Any]], None]], *, farm: str
    ) -> None:
        self._database, self._farm = database, farm
        self._channels = [Channel(name, send) for name, send in channels.items()]

    @classmethod
    def from_settings(cls, database: Engine, settings: AlarmsSection, *, farm: str) -> Self:
        """The ways that *settings* name; raise SettingsError if one cannot be."""
        channels: dict[str, Callable[[Mapping[str, Any]], None]] = {}
        if settings.webhook:
            if not urlsplit(settings.webhook).hostname:
                raise SettingsError("alarms.webhook: names no host")
            channels["webhook"] = Webhook(url=settings.webhook).send
        if settings.mail_to:
            channels["mail"] = _mail(settings).send
        return cls(database, channels, farm=farm)

    def tell(self) -> int:
        """Tell every alarm that is to be told now; say how many are done with."""
        with transaction(self._database) as session:
            waiting = [(alarm, self._message(alarm)) for alarm in alarms.untold(session)]
        done = 0
        for alarm, message in waiting:
            tried = [self._through(channel, alarm, message) for channel in self._channels]
            if all(tried):
                with transaction(self._database) as session:
                    alarms.told(session, alarm.id, ended_at=alarm.ended_at)
                for channel in self._channels:
                    channel.told.discard((alarm.id, message["state"]))
                done += 1
        return done

    def _through(self, channel: Channel, alarm: Alarm, message: Mapping[str, Any]) -> bool:
        """Whether this channel has told it, now or before."""
        key = (alarm.id, message["state"])
        if key in channel.told:
            return True
        if time.monotonic() < channel.not_before:
            return False
        try:
            channel.send(message)
        except NotToldError as err:
            channel.failures += 1
            pause_s = min(5.0 * 2.0 ** min(channel.failures, 20), _LONGEST_PAUSE_S)
            channel.not_before = time.monotonic() + pause_s
            log.warning("alarm %s is not told by %s yet: %s; again in %.0f s", alarm.name, channel.name, err, pause_s)
            return False
        channel.failures, channel.not_before = 0, 0.0
        channel.told.add(key)
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
