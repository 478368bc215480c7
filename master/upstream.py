"""The index that the farm follows: project pages with conditional requests, and METADATA of its wheels (W-01, W-08).

Only UpstreamError (and its UnknownProjectError) comes out of here, whatever the upstream does (R14, R15).
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urljoin, urlsplit

from packaging.utils import NormalizedName

from master.wheel_metadata import METADATA_LIMIT_BYTES, read_metadata
from schema.errors import UpstreamError
from schema.names import Sha256
from schema.pip_settings import pip_settings
from schema.settings import Settings
from schema.simple import fetch
from schema.simple.fetch import NotModified, Origin, serial_in, user_agent
from schema.simple.read import File, Listed, Page
from schema.transport import Answer, Transport

log = logging.getLogger(__name__)

__all__ = ["NotModified", "Page", "Upstream", "default_index_url", "serial_in", "user_agent"]

_WHEEL_LIMIT_BYTES = 2**30
_WHEEL_LIMIT_S = 300.0  # the next page waits for it: requests are serial
_LIST_LIMIT_S = 600.0


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
        origin = Origin.from_settings(settings)
        return cls(
            origin.index_url,
            user_agent=origin.user_agent,
            timeout_s=settings.upstream.timeout_s,
            ca=origin.ca,
            proxy=origin.proxy,
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
        self._respect_rest()
        answer = fetch.ask(self._transport, name, etag=etag, last_modified=last_modified)
        self._note_rest(answer)
        return fetch.understood(name, answer, conditional=bool(etag or last_modified))

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
            self._expect_success(answer)
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
            self._expect_success(answer)
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
            self._expect_success(answer)
            _expect_digest(digest.hexdigest(), expected, file.filename)
            return read_metadata(wheel, file.filename)

    def _respect_rest(self) -> None:
        if self.rest_s:
            raise UpstreamError(f"the upstream asked for a rest of {self.rest_s:.0f} s", retry_after_s=self.rest_s)

    def _note_rest(self, answer: Answer) -> None:
        if fetch.wants_rest(answer):
            self._rest_until = time.monotonic() + (fetch.retry_after_s(answer.headers) or 0.0)

    def _expect_success(self, answer: Answer) -> None:
        self._note_rest(answer)
        fetch.expect_success(answer)


def default_index_url() -> str:
    """The index that pip on this machine is set to use; raise SettingsError if it is none that the farm can read."""
    return pip_settings().index_url


def _expect_digest(found: str, expected: Sha256, what: str) -> None:
    if found != expected:
        raise UpstreamError(f"{what}: sha256 is {found}, the index promised {expected}")
