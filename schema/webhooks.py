"""What a webhook may be told, where it may lead, and how a message is signed (Standard Webhooks 1.0)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from schema.errors import UsageError

MOST_URL: Final = 2000
MOST_WEBHOOKS: Final = 20
# So long after a rotation a message is signed with the secret before it, too.
BOTH_SECRETS: Final = timedelta(hours=24)

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)


class Event(StrEnum):
    """What somebody may want to be told of; ``PING`` is sent when a person asks for it, to whomever."""

    BUILD_FAILED = "build.failed"  # a failure that stands: what is tried again by itself is none yet
    WHEEL_PUBLISHED = "wheel.published"
    WHEEL_WITHDRAWN = "wheel.withdrawn"
    ALARM_OPENED = "alarm.opened"
    ALARM_CLOSED = "alarm.closed"


PING: Final = "ping"


class Outcome(StrEnum):
    """How a delivery ended."""

    DELIVERED = "delivered"
    GIVEN_UP = "given-up"


def webhook_name(text: str) -> str:
    """A webhook's name; raise UsageError."""
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"not a name of a webhook: {text[:80]!r}",
            advice="at most 63 lower-case letters, digits and inner hyphens, such as chat-room",
        )
    return text


def webhook_url(text: str) -> str:
    """An address to POST to; a user or password in it would be sent, and shown, as part of it; raise UsageError.

    No message repeats it: it may hold a secret.
    """
    try:
        parts = urlsplit(text)
        fits = bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not _URL.fullmatch(text) or len(text) > MOST_URL:
        raise UsageError(
            "not an address that a webhook can have",
            advice=f"such as https://ci.example.org/hooks/wheels, at most {MOST_URL} characters of ASCII",
        )
    if "@" in parts.netloc:
        raise UsageError(
            "the address holds a user or password", advice="leave it out: the signature proves who sends a message"
        )
    return text


def webhook_events(texts: Iterable[str]) -> list[str]:
    """Those events in their own order, all of them where none is named; raise UsageError."""
    wanted = set(texts) or set(Event)
    if unknown := sorted(wanted - set(Event)):
        raise UsageError(f"there is no event {unknown[0][:40]!r}", advice=f"there are {', '.join(Event)}")
    return [str(event) for event in Event if event in wanted]


def shown(url: str) -> str:
    """An address as lists show it: what follows the host may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{'…' if parts.path.strip('/') or parts.query else ''}"


def new_secret() -> str:
    """A secret of 256 random bits, as people hand it to the receiver."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def new_message_id() -> str:
    """What tells a message from every other, however often it is sent; it holds no dot, which parts what is signed."""
    return f"msg_{secrets.token_hex(16)}"


def headers(message: str, *, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """What goes with *body*: one signature for each secret.

    message: its id; timestamp: of this attempt, in seconds since 1970
    """
    signed = b"%s.%d.%s" % (message.encode(), timestamp, body)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
