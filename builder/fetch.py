"""Fetch a file by its hash (B-04): the only code of ours outside the sandbox that a source distribution meets."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from builder import network
from schema.errors import LimitExceededError, NodeError, SdistError
from schema.jobs import FarmWheel, Sdist
from schema.states import FailureClass

_MOST_BYTES = 2**30
_CHUNK_BYTES = 256 * 1024
_MOST_REDIRECTS = 5
_TRIES = 4
_GONE = {403, 404, 410, 451}
_SUFFIXES = (".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz")


def check_name(filename: str, project: NormalizedName, version: str) -> None:
    """Raise SdistError unless the file's name is that of *project* and *version*, in today's or an older spelling."""
    suffix = next((end for end in _SUFFIXES if filename.endswith(end)), None)
    if suffix is None:
        raise SdistError(f"{filename}: not a kind of source distribution that the farm opens ({', '.join(_SUFFIXES)})")
    stem = filename.removesuffix(suffix)
    for position, char in enumerate(stem):
        if char == "-" and _agrees(stem[:position], stem[position + 1 :], project, version):
            return
    raise SdistError(f"{filename}: lies about its name: the index lists it as {project} {version}")


def fetch(sdist: Sdist | FarmWheel, target: Path, *, deadline: float, cancelled: threading.Event) -> None:
    """Write the file, a source distribution or a wheel of the farm, to *target*.

    Raise SdistError if its bytes are not the promised ones or the index has it no more; NodeError if the upstream
    cannot be reached; LimitExceededError past *deadline* (``time.monotonic()``) or once *cancelled*.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            found = _download(sdist, target, deadline=deadline, cancelled=cancelled)
            break
        except (urllib3.exceptions.HTTPError, OSError) as err:
            if attempt == _TRIES:
                raise NodeError(f"{_shown(sdist.url)} cannot be fetched: {_reason(err)}") from err
            cancelled.wait(2.0**attempt / 4)
    if found != sdist.sha256:
        raise SdistError(f"{sdist.filename}: its sha256 is {found}, the index promised {sdist.sha256}")


def _agrees(name: str, version: str, project: NormalizedName, expected: str) -> bool:
    try:
        return canonicalize_name(name) == project and Version(version) == Version(expected)
    except InvalidVersion:
        return False


def _download(sdist: Sdist | FarmWheel, target: Path, *, deadline: float, cancelled: threading.Event) -> str:
    most = _MOST_BYTES if sdist.size_bytes is None else sdist.size_bytes
    digest, size = hashlib.sha256(), 0
    with _answer(sdist.url) as response, target.open("wb") as file:
        # read1: what has come so far; anything else would wait for a whole chunk, however slowly it drips.
        while chunk := response.read1(_CHUNK_BYTES, decode_content=False):
            size += len(chunk)
            if cancelled.is_set():
                raise LimitExceededError("cancelled", failure_class=FailureClass.CANCELLED)
            if time.monotonic() > deadline:
                raise LimitExceededError("the download took too long", failure_class=FailureClass.TIMEOUT)
            if size > most:
                raise SdistError(f"{sdist.filename}: larger than the {most} bytes that were promised")
            digest.update(chunk)
            file.write(chunk)
    if sdist.size_bytes is not None and size < sdist.size_bytes:
        raise urllib3.exceptions.HTTPError(f"only {size} of {sdist.size_bytes} bytes came")
    return digest.hexdigest()


@contextmanager
def _answer(url: str) -> Iterator[urllib3.BaseHTTPResponse]:
    """The answer of the last of a chain of redirects; never another scheme than http and https."""
    first = urlsplit(url).netloc
    for _ in range(_MOST_REDIRECTS):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SdistError(f"{_shown(url)}: source distributions come by http or https only")
        headers = {"User-Agent": "wheelfarm", "Accept-Encoding": "identity"}
        if parts.username is not None and parts.netloc == first:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers |= urllib3.make_headers(basic_auth=login)
        with _pool(url) as pool:
            response = pool.request(
                "GET",
                _shown(url).partition("#")[0],
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=15, read=60),
            )
            try:
                location = response.get_redirect_location()
                if not location:
                    _check_status(response.status, url)
                    yield response
                    return
                url = urljoin(url, location)
            finally:
                response.close()
    raise NodeError(f"{_shown(url)}: too many redirects")


def _pool(url: str) -> urllib3.PoolManager:
    file = network.certificates()
    context = ssl.create_default_context(cafile=None if file is None else str(file))
    proxy = network.proxy(url)
    if proxy is not None:
        return urllib3.ProxyManager(proxy, ssl_context=context)
    return urllib3.PoolManager(ssl_context=context)


def _check_status(status: int, url: str) -> None:
    if status in _GONE:
        raise SdistError(f"{_shown(url)}: the index has the file no more (HTTP {status})")
    if status != 200:  # noqa: PLR2004 - OK
        raise urllib3.exceptions.HTTPError(f"HTTP {status}")


def _shown(url: str) -> str:
    return network.without_credentials(url)


def _reason(err: Exception) -> str:
    # urllib3 prints the object's address along with the reason.
    return str(getattr(err, "reason", None) or err).rpartition(">: ")[2][:300]
