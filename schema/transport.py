"""HTTP to a server that may be slow, broken or hostile: bounded in time, in bytes, and in where it leads (T20, T21).

One request at a time (W-01). Whatever goes wrong is an UpstreamError.
"""

from __future__ import annotations

import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from schema.errors import SettingsError, UpstreamError
from schema.guard import Guard, watched_pools

_CHUNK = 64 * 2**10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said.

    url: where it came from in the end; headers: found by their names in any case
    body: decoded; b"" unless the status is 200
    """

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class Transport:
    """Connections to the host of *home* and to where that host sends us.

    home: the URL of the index; user name and password in it are sent to that origin only
    timeout_s: of a whole exchange, not of one read: a body that trickles in is cut off
    ca: file or folder of certificate authorities; None: the system's
    proxy: of every request; None: as the environment says (``https_proxy``, ``no_proxy``)
    """

    def __init__(
        self, home: str, *, user_agent: str, timeout_s: float, ca: Path | None = None, proxy: str | None = None
    ) -> None:
        parts = urlsplit(home)
        self.home = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._origin = _origin(home)
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "gzip"}
        self._login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
        self._timeout_s = timeout_s
        self._proxy = proxy
        # Asked once for each host: to search the environment takes longer than to send a request.
        self._proxy_of_environment = lru_cache(maxsize=64)(_proxy_of_environment)
        self._tls = _tls(ca)
        self._guard = Guard(parts.hostname or "")
        self._pools: dict[str, urllib3.PoolManager] = {}
        # A manager takes each URL to pieces twice before it finds the pool of its host.
        self._host = lru_cache(maxsize=64)(self._pool("").connection_from_url)
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection."""
        self._host.cache_clear()
        for pool in self._pools.values():
            pool.clear()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nothing is asked for inside."""
        with self._one_at_a_time:
            yield

    def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, limit_bytes: int, timeout_s: float | None = None
    ) -> Answer:
        """The answer to a GET; raise UpstreamError where there is none, or where it is too long, too slow or elsewhere.

        A status that is no success is an answer too.
        """
        body = bytearray()
        answer = self.download(url, body.extend, headers=headers, limit_bytes=limit_bytes, timeout_s=timeout_s)
        return Answer(status=answer.status, url=answer.url, headers=answer.headers, body=bytes(body))

    def download(
        self,
        url: str,
        sink: Callable[[bytes], object],
        *,
        headers: Mapping[str, str] | None = None,
        limit_bytes: int,
        timeout_s: float | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """The same, but the body goes to *sink* piece by piece.

        content: sent with a POST, which follows no redirect
        """
        seconds = timeout_s or self._timeout_s
        with self._one_at_a_time, self._guard.limit(seconds):
            try:
                answer = self._follow(url, sink, dict(headers or {}), limit_bytes, seconds, content)
            except (HTTPError, HTTPException, OSError, ValueError) as err:
                if not self._guard.cut:
                    raise UpstreamError(f"{_shown(url)}: {_reason(err)}") from err
            if self._guard.cut:  # perhaps within the headers, which the library takes for their end
                raise UpstreamError(f"{_shown(url)}: took longer than {seconds:g} s")
            return answer

    def _follow(  # noqa: PLR0917 - private, and called once
        self,
        url: str,
        sink: Callable[[bytes], object],
        headers: dict[str, str],
        limit_bytes: int,
        timeout_s: float,
        content: bytes | None,
    ) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._ask(url, headers, timeout_s, content)
            try:
                target = response.headers.get("Location")
                if response.status not in _REDIRECTS or not target or content is not None:
                    if response.status == _OK:
                        _pour(response, sink, limit_bytes, url)
                    return Answer(status=response.status, url=url, headers=response.headers)
            finally:
                response.close()
            url = _redirected(url, target)
        raise UpstreamError(f"{_shown(url)}: redirects without end")

    def _ask(
        self, url: str, headers: dict[str, str], timeout_s: float, content: bytes | None
    ) -> urllib3.BaseHTTPResponse:
        sent = {**self._headers, **headers}
        if self._login and _origin(url) == self._origin:
            sent |= urllib3.make_headers(basic_auth=self._login)
        pool, target = self._way(url)
        return pool.urlopen(
            "GET" if content is None else "POST",
            target,
            body=content,
            headers=sent,
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=timeout_s, read=timeout_s),
        )

    def _way(self, url: str) -> tuple[urllib3.PoolManager | urllib3.HTTPConnectionPool, str]:
        """Who sends a request for *url*, and for what it asks there."""
        parts = urlsplit(url)
        proxy = self._proxy or self._proxy_of_environment(parts.scheme, parts.hostname or "")
        if proxy:
            return self._pool(proxy), url
        root = f"{parts.scheme}://{parts.netloc}"
        return self._host(root), "/" + url[len(root) :].removeprefix("/")

    def _pool(self, proxy: str) -> urllib3.PoolManager:
        if proxy not in self._pools:
            self._pools[proxy] = self._new_pool(proxy)
        return self._pools[proxy]

    def _new_pool(self, proxy: str) -> urllib3.PoolManager:
        pool: urllib3.PoolManager
        if proxy:
            parts = urlsplit(proxy)
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
            pool = urllib3.ProxyManager(
                parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
                proxy_headers=urllib3.make_headers(proxy_basic_auth=login),
                ssl_context=self._tls,
            )
        else:
            pool = urllib3.PoolManager(ssl_context=self._tls)
        pool.pool_classes_by_scheme = watched_pools(self._guard)
        return pool


def _proxy_of_environment(scheme: str, host: str) -> str:
    if urllib.request.proxy_bypass_environment(host):  # type: ignore[attr-defined]
        return ""
    proxies = urllib.request.getproxies_environment()
    return proxies.get(scheme) or proxies.get("all") or ""


def _pour(response: urllib3.BaseHTTPResponse, sink: Callable[[bytes], object], limit_bytes: int, url: str) -> None:
    total = 0
    while piece := response.read1(_CHUNK, decode_content=True):
        total += len(piece)
        if total > limit_bytes:
            raise UpstreamError(f"{_shown(url)}: longer than {limit_bytes} bytes")
        sink(piece)


def _redirected(url: str, target: str) -> str:
    """Where a redirect leads; never to another protocol than http and https, never from https to http."""
    new = urljoin(url, target)
    old_scheme, scheme = urlsplit(url).scheme, urlsplit(new).scheme
    if scheme not in {"http", "https"} or (old_scheme == "https" and scheme == "http") or urlsplit(new).username:
        raise UpstreamError(f"{_shown(url)}: redirects to {_shown(new)}, where the farm does not go")
    return new


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", port


def _shown(url: str) -> str:
    """The URL as messages may show it: without user name, password and query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()[:300]


def _reason(err: BaseException) -> str:
    text = str(err).splitlines()[0][:300] if str(err) else ""
    return text or type(err).__name__


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        if ca is not None and ca.is_dir():
            return ssl.create_default_context(capath=ca)
        return ssl.create_default_context(cafile=ca)
    except OSError as err:
        raise SettingsError(f"the certificate authorities in {ca} cannot be read: {err}") from err
