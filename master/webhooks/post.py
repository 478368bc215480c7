"""One POST to an address that a person set: bounded in time, never redirected, and no answer is read beyond its head.

An address may hold a secret, so nothing that is told of an exchange repeats it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPException
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from schema.errors import UpstreamError
from schema.guard import Guard, watched_pools
from schema.printable import one_line

# The specification recommends 15 to 30 seconds.
LIMIT_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of it.

    status: 0 where nobody answered; told: goes on after the receiver's name: ``answered 500``
    retry_after: when the receiver wants to be asked again; None where it does not say
    """

    told: str
    status: int = 0
    retry_after: timedelta | None = None
    seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken the message."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


def post(url: str, body: bytes, headers: Mapping[str, str], *, private: bool, limit_s: float = LIMIT_S) -> Answer:
    """Send *body*, JSON, within *limit_s* seconds; whatever goes wrong is an answer, too.

    private: whether *url* may lead into a private network, or to this machine
    """
    guard, began, status, after, told = Guard(private=private), time.monotonic(), 0, None, ""
    pool = urllib3.PoolManager(ssl_context=ssl.create_default_context())
    pool.pool_classes_by_scheme = watched_pools(guard)
    try:
        with guard.limit(limit_s):
            response = pool.request(
                "POST",
                url,
                body=body,
                headers={"Content-Type": "application/json", "User-Agent": "wheelfarm", **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=limit_s, read=limit_s),
            )
            response.close()
        status, after = response.status, response.headers.get("Retry-After")
        told = f"answered {status}"
    except UpstreamError as err:
        told = f"is not asked: {err} (webhooks.private_addresses allows it)"
    except (HTTPError, HTTPException, OSError, ValueError) as err:
        told = f"did not answer ({_reason(err)})"
    finally:
        pool.clear()
    seconds = time.monotonic() - began
    if guard.cut:
        return Answer(told=f"took longer than {limit_s:g} s", seconds=seconds)
    return Answer(told=told, status=status, retry_after=_wait(after), seconds=seconds)


def _reason(err: BaseException) -> str:
    """What the operating system or TLS says of it, else the kind of error: its text may repeat the address."""
    for found in (err, err.__cause__, *err.args):
        if isinstance(found, OSError) and (said := getattr(found, "verify_message", "") or found.strerror):
            return one_line(said, limit=150)
    return type(err).__name__


def _wait(text: str | None) -> timedelta | None:
    """What ``Retry-After`` says (RFC 9110), 6 hours at most."""
    with suppress(HTTPError, ValueError, OverflowError):
        return timedelta(seconds=urllib3.Retry().parse_retry_after(text)) if text is not None else None
    return None
