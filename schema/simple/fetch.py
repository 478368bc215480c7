"""Ask the upstream for a project's page, conditionally, and read the answer (W-08): master and front-end alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from packaging.utils import NormalizedName

from schema.errors import UnknownProjectError, UpstreamError
from schema.pip_settings import pip_settings
from schema.settings import Settings
from schema.simple.read import Page, parse
from schema.transport import Answer, Transport

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_PAGE_LIMIT_BYTES = 50 * 2**20
_LONGEST_REST_S = 86_400.0
_SERIAL_LIMIT = 2**62  # of the database's column


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the upstream is, and how it is reached; user name and password may stand in the URL.

    ca, proxy: as in ``schema.transport.Transport``
    """

    index_url: str
    user_agent: str
    ca: Path | None = None
    proxy: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The upstream of these settings; where they name none, the index of pip on this machine."""
        pip = pip_settings() if not settings.upstream.index_url else None
        return cls(
            index_url=settings.upstream.index_url or (pip.index_url if pip else ""),
            user_agent=user_agent(settings.farm.name, settings.farm.contact),
            ca=_certificate_authorities(pip.ca if pip else None),
            proxy=(pip.proxy if pip else None) or None,
        )

    @property
    def has_login(self) -> bool:
        """Whether only who knows a password may read it."""
        return urlsplit(self.index_url).username is not None

    def transport(self, *, timeout_s: float) -> Transport:
        """A way to it of its own; timeout_s: of one page."""
        home = self.index_url.rstrip("/") + "/"
        return Transport(home, user_agent=self.user_agent, timeout_s=timeout_s, ca=self.ca, proxy=self.proxy)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotModified:
    """The page is still what its ETag or date says; serial: as in Page."""

    name: NormalizedName
    serial: int = 0


def ask(transport: Transport, name: NormalizedName, *, etag: str = "", last_modified: str = "") -> Answer:
    """Whatever is said when the page of *name* is asked for; raise UpstreamError where nothing is.

    etag, last_modified: of the page as it was read before
    """
    headers = {"Accept": _ACCEPT}
    if etag:
        headers["If-None-Match"] = etag
    if last_modified:
        headers["If-Modified-Since"] = last_modified
    return transport.get(f"{transport.home}{name}/", headers=headers, limit_bytes=_PAGE_LIMIT_BYTES)


def understood(name: NormalizedName, answer: Answer, *, conditional: bool) -> Page | NotModified:
    """What *answer* means; conditional: whether an ETag or a date was sent.

    Raise UnknownProjectError where there is no such project (404), UpstreamError for what is no page of it.
    """
    serial = serial_in(answer.headers.get("X-PyPI-Last-Serial", ""))
    if answer.status == 304 and conditional:  # noqa: PLR2004 - HTTP
        return NotModified(name=name, serial=serial)
    if answer.status in {404, 410}:
        raise UnknownProjectError(name)
    expect_success(answer)
    page = parse(
        name,
        answer.body,
        content_type=answer.headers.get("Content-Type", ""),
        url=answer.url,
        etag=answer.headers.get("ETag", ""),
        last_modified=answer.headers.get("Last-Modified", ""),
    )
    return replace(page, serial=serial)


def expect_success(answer: Answer) -> None:
    """Raise UpstreamError for every status but 200."""
    if answer.status != 200:  # noqa: PLR2004 - HTTP
        told = f"{urlsplit(answer.url).path}: the upstream answers {answer.status}"
        raise UpstreamError(told, retry_after_s=retry_after_s(answer.headers))


def wants_rest(answer: Answer) -> bool:
    """Whether the upstream as a whole, not only for this page, asks to be left in peace."""
    return answer.status in {429, 503}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either form of Retry-After; None where it says nothing; at most a day."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_REST_S)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_REST_S)


def user_agent(farm: str, contact: str) -> str:
    """W-01: name, version, whose farm, and how to reach a person."""
    who = "; ".join(text for text in (farm, contact) if text)
    plain = "".join(char for char in who if char.isascii() and char.isprintable() and char not in "()")
    return f"wheelfarm/{version('wheelfarm')} ({plain})"


def serial_in(value: object) -> int:
    """A serial as a header or a list has it; 0 for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:  # noqa: PLR2004 - digits
        value = int(value)
    return value if type(value) is int and 0 < value < _SERIAL_LIMIT else 0


def _certificate_authorities(of_pip: Path | None) -> Path | None:
    """What pip uses, else what the environment names, else None: the system's."""
    if of_pip is not None:
        return of_pip
    named = next(filter(None, map(os.environ.get, ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"))), None)
    return Path(named) if named else None
