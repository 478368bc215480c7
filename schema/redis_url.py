"""What a URL of Redis says, and what its TLS is checked with. Nothing here needs a Redis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from schema.errors import SettingsError

TLS = "rediss://"
DEFAULT_USER = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What a ``rediss://`` is checked with; all files are PEM.

    ca: the authority of Redis's certificate, trusted beside those of the system; None: those alone
    certificate, key: who we are, for a Redis that asks for it (``tls-auth-clients``); None: nobody
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def address(url: str) -> str:
    """*url* without user, password and query."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"


def user_of(url: str) -> str:
    """Who *url* logs in as; Redis's ``default`` where it does not say."""
    return unquote(urlsplit(url).username or "") or DEFAULT_USER


def password_of(url: str) -> str:
    """The password in *url*; "" where there is none."""
    return unquote(urlsplit(url).password or "")


def for_user(url: str, user: str, password: str, *, host: str | None = None) -> str:
    """*url* for another user; host: ``HOST`` or ``HOST:PORT``, where it is to be reached by another."""
    parts = urlsplit(url)
    there = host or parts.netloc.rpartition("@")[2]
    if host and parts.port and not urlsplit(f"//{host}").port:
        there = f"{host}:{parts.port}"
    return parts._replace(netloc=f"{quote(user, safe='.')}:{quote(password, safe='')}@{there}").geturl()


def database_of(url: str) -> str:
    """The number of the database in *url*, as it stands there; "0" where it names none."""
    parts = urlsplit(url)
    if "+" in parts.scheme:
        return dict(parse_qsl(parts.query)).get("virtual_host", "0")
    return parts.path.strip("/") or "0"


def check(url: str, tls: Tls, *, file: Path) -> None:
    """Raise SettingsError where what is encrypted, and with whom, would be less than the writer of *file* may think."""
    # With such an option kombu and redis-py would stop to check certificates.
    if any(name.lower().startswith("ssl") for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)):
        raise SettingsError(
            f"{file}: redis.url: no option that begins with ssl is taken",
            advice="certificates are always checked; redis.ca, redis.certificate and redis.key say with what",
        )
    if tls != Tls() and not url.startswith(TLS):
        raise SettingsError(
            f"{file}: redis.ca, redis.certificate, redis.key: of no use where redis.url does not begin with {TLS}",
            advice=f"write {TLS}, or nothing is encrypted",
        )
    if tls.key is not None and tls.certificate is None:
        raise SettingsError(f"{file}: redis.key: whose? redis.certificate is missing")
