"""The index that the farm follows: project pages with conditional requests, and METADATA of its wheels (W-01, W-08).

Only UpstreamError (and its UnknownProjectError) comes out of here, whatever the upstream does (R14, R15).
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Self
from urllib.parse import urljoin, urlsplit

from packaging.utils import NormalizedName

from master.pages import File, Listed, Page, parse
from master.transport import Answer, Transport
from master.wheel_metadata import METADATA_LIMIT_BYTES, read_metadata
from schema.errors import UnknownProjectError, UpstreamError
from schema.names import Sha256
from schema.pip_settings import pip_settings
from schema.settings import Settings

log = logging.getLogger(__name__)

__all__ = ["NotModified", "Page", "Upstream", "default_index_url", "user_agent"]

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_PAGE_LIMIT_BYTES = 50 * 2**20
_WHEEL_LIMIT_BYTES = 2**30
_WHEEL_LIMIT_S = 300.0  # the next page waits for it: requests are serial
_LONGEST_REST_S = 86_400.0
_LIST_LIMIT_S = 600.0
_SERIAL_LIMIT = 2**62  # of the database's column


@dataclass(frozen=True, slots=True, kw_only=True)
class NotModified:
    """The page is still what its ETag or date says; serial: as in Page."""

    name: NormalizedName
    serial: int = 0


class Upstream:
    """One upstream index; requests are serial, and none is made while the upstream asks for a rest.

    index_url: such as ``https://index.example/simple/``
    timeout_s: of one page; list_timeout_s: of the list of all projects
    user_agent: names the farm and somebody to talk to
    """

    def __init__(
        self,
        index_url: str,
        *,
        user_agent: str,
        timeout_s: float,
        list_timeout_s: float = _LIST_LIMIT_S,
        ca: Path | None = None,
        proxy: str | None = None,
    ) -> None:
        self._list_timeout_s = list_timeout_s
        self._transport = Transport(
            index_url.rstrip("/") + "/", user_agent=user_agent, timeout_s=timeout_s, ca=ca, proxy=proxy
        )
        self._rest_until = 0.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The upstream of these settings; where they name none, the index of pip on this machine."""
        pip = pip_settings() if not settings.upstream.index_url else None
        return cls(
            settings.upstream.index_url or (pip.index_url if pip else ""),
            user_agent=user_agent(settings.farm.name, settings.farm.contact),
            timeout_s=settings.upstream.timeout_s,
            ca=_certificate_authorities(pip.ca if pip else None),
            proxy=(pip.proxy if pip else None) or None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection."""
        self._transport.close()

    @property
    def index_url(self) -> str:
        """Without user name and password."""
        return self._transport.home

    @property
    def rest_s(self) -> float:
        """How long the upstream asked us to leave it in peace, in seconds from now; 0 if it did not."""
        return max(self._rest_until - time.monotonic(), 0.0)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Ask nothing from here while another process of the farm does: one request at a time (W-01)."""
        with self._transport.alone():
            yield

    def rest(self, seconds: float) -> None:
        """The upstream asked that other process to be left in peace for so long from now on."""
        self._rest_until = max(self._rest_until, time.monotonic() + seconds)

    def page(self, name: NormalizedName, *, etag: str = "", last_modified: str = "") -> Page | NotModified:
        """The page of a project.

        etag, last_modified: of the page as it was read before. Raise UnknownProjectError where there is none (404).
        """
        headers = {"Accept": _ACCEPT}
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        self._respect_rest()
        answer = self._transport.get(f"{self.index_url}{name}/", headers=headers, limit_bytes=_PAGE_LIMIT_BYTES)
        if answer.status == 304 and (etag or last_modified):  # noqa: PLR2004 - HTTP
            return NotModified(name=name, serial=serial_in(answer.headers.get("X-PyPI-Last-Serial", "")))
        if answer.status in {404, 410}:
            raise UnknownProjectError(name)
        self._expect_success(answer.status, answer.headers, answer.url)
        page = parse(
            name,
            answer.body,
            content_type=answer.headers.get("Content-Type", ""),
            url=answer.url,
            etag=answer.headers.get("ETag", ""),
            last_modified=answer.headers.get("Last-Modified", ""),
        )
        return replace(page, serial=serial_in(answer.headers.get("X-PyPI-Last-Serial", "")))

    def stream(
        self,
        url: str,
        sink: Callable[[bytes], object],
        *,
        headers: Mapping[str, str],
        limit_bytes: int,
        content: bytes | None = None,
    ) -> Answer:
        """A long answer, or one to a POST, piece by piece; the status is 200, 304 or one that says: no such thing.

        Raise UpstreamError for every other status, and while the upstream wants a rest.
        """
        self._respect_rest()
        target = urljoin(self.index_url, url)
        answer = self._transport.download(
            target, sink, headers=headers, limit_bytes=limit_bytes, timeout_s=self._list_timeout_s, content=content
        )
        if answer.status not in {304, 404, 405, 406, 410, 501}:
            self._expect_success(answer.status, answer.headers, answer.url)
        return answer

    def metadata(self, file: File | Listed) -> bytes:
        """METADATA of an upstream wheel: the file beside it where its digest is advertised, else out of the wheel.

        Nothing is believed without a digest from the index. Raise UpstreamError if it cannot be had.
        """
        self._respect_rest()
        if file.metadata_sha256 is not None:
            parts = urlsplit(file.url)
            url = parts._replace(path=f"{parts.path}.metadata", fragment="").geturl()
            answer = self._transport.get(url, limit_bytes=METADATA_LIMIT_BYTES)
            self._expect_success(answer.status, answer.headers, answer.url)
            _expect_digest(hashlib.sha256(answer.body).hexdigest(), file.metadata_sha256, f"{file.filename}.metadata")
            return answer.body
        if file.sha256 is None:
            raise UpstreamError(f"{file.filename}: the upstream gives no sha256 of it")
        return self._metadata_inside(file, file.sha256)

    def _metadata_inside(self, file: File | Listed, expected: Sha256) -> bytes:
        digest = hashlib.sha256()
        with tempfile.TemporaryFile() as wheel:

            def keep(piece: bytes) -> None:
                digest.update(piece)
                wheel.write(piece)

            answer = self._transport.download(file.url, keep, limit_bytes=_WHEEL_LIMIT_BYTES, timeout_s=_WHEEL_LIMIT_S)
            self._expect_success(answer.status, answer.headers, answer.url)
            _expect_digest(digest.hexdigest(), expected, file.filename)
            return read_metadata(wheel, file.filename)

    def _respect_rest(self) -> None:
        if self.rest_s:
            raise UpstreamError(f"the upstream asked for a rest of {self.rest_s:.0f} s", retry_after_s=self.rest_s)

    def _expect_success(self, status: int, headers: Mapping[str, str], url: str) -> None:
        if status == 200:  # noqa: PLR2004 - HTTP
            return
        rest_s = _retry_after(headers.get("Retry-After", ""))
        if status in {429, 503}:
            self._rest_until = time.monotonic() + (rest_s or 0.0)
        raise UpstreamError(f"{urlsplit(url).path}: the upstream answers {status}", retry_after_s=rest_s)


def default_index_url() -> str:
    """The index that pip on this machine is set to use; raise SettingsError if it is none that the farm can read."""
    return pip_settings().index_url


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


def _expect_digest(found: str, expected: Sha256, what: str) -> None:
    if found != expected:
        raise UpstreamError(f"{what}: sha256 is {found}, the index promised {expected}")


def _retry_after(text: str) -> float | None:
    """Seconds, from either of the header's two forms; None where it says nothing; at most a day."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_REST_S)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_REST_S)
