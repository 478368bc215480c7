"""The cookie of a session, and where there can be one: over TLS, or on this very machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from flask import Request
from werkzeug.wrappers import Response

SESSION_S: Final = 12 * 3600


@dataclass(frozen=True, slots=True)
class Cookie:
    """name: with ``__Host-`` a browser takes it over TLS only, for this host only, and lets no other host set it."""

    name: str
    secure: bool

    def set(self, response: Response, value: str) -> None:
        """Have the browser keep it for as long as a session lasts; JavaScript never sees it, nor does another site."""
        response.set_cookie(
            self.name, value, max_age=SESSION_S, secure=self.secure, httponly=True, samesite="Strict", path="/"
        )

    def unset(self, response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(self.name, secure=self.secure, httponly=True, samesite="Strict", path="/")


_OVER_TLS: Final = Cookie("__Host-wheelfarm", secure=True)
_ON_THIS_MACHINE: Final = Cookie("wheelfarm", secure=False)


def cookie(request: Request, *, public_url: str) -> Cookie | None:
    """Which one a session of this request has; None where there can be none: plain HTTP over a network."""
    if is_over_tls(request, public_url=public_url):
        return _OVER_TLS
    return _ON_THIS_MACHINE if is_on_this_machine(request) else None


def is_on_this_machine(request: Request) -> bool:
    """Whether both ends are this machine, by their addresses and by the name that was asked for."""
    return _is_loopback(request.remote_addr or "") and _is_loopback(_host(f"//{request.host}"))


def is_over_tls(request: Request, *, public_url: str) -> bool:
    """Whether the browser speaks TLS: with us, or with the proxy before us, as ``web.public_url`` tells.

    If that is not so although the setting says it, browsers do not take the cookie, and nothing is given away.
    """
    parts = urlsplit(public_url)
    return request.is_secure or (parts.scheme == "https" and request.host.lower() == parts.netloc.lower())


def address(request: Request) -> str:
    """Who asks, as far as we know: a proxy on this machine says so last in X-Forwarded-For; "" for nobody knows."""
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    peer = request.remote_addr or ""
    return told if told and _is_loopback(peer) else peer


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
