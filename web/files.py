"""Wheels, sent with ranges (I-23) and marked as never changing (I-22)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from stat import S_ISREG
from typing import TYPE_CHECKING

from werkzeug.http import http_date, parse_if_range_header, parse_range_header
from werkzeug.http import is_resource_modified as is_modified

from web import answer
from web.answer import SECURITY, Body, Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FOR_EVER = "public, max-age=31536000, immutable"
_AT_ONCE_BYTES = 256 * 1024  # what is no longer goes out at once: a slow reader of it holds no thread
# From 128 KiB on malloc(3) has each piece of memory from the kernel, page by page, which costs as much as the copying.
_CHUNK_BYTES = 120 * 1024


def send(environ: WSGIEnvironment, start: StartResponse, path: str) -> Body | None:
    """The wheel at *path*, or the range of it that is asked for; None if there is none."""
    try:
        chunks = _Chunks(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        stat = os.fstat(chunks.file)
        body = _send(environ, start, chunks, stat) if S_ISREG(stat.st_mode) else None
    except BaseException:
        chunks.close()
        raise
    if body is not chunks:  # which the server closes when it is done with it
        chunks.close()
    return body


def _send(environ: WSGIEnvironment, start: StartResponse, chunks: _Chunks, stat: os.stat_result) -> Body:
    size, etag = stat.st_size, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    headers: Headers = [
        ("ETag", etag),
        ("Last-Modified", _date(int(stat.st_mtime))),
        ("Cache-Control", FOR_EVER),
        ("Accept-Ranges", "bytes"),
        *SECURITY,
    ]
    if answer.has_it(environ, etag) or not _is_newer(environ, etag, stat.st_mtime):
        environ[answer.STATUS] = "304"
        start("304 Not Modified", headers)
        return []
    first, end = 0, size
    if wanted := environ.get("HTTP_RANGE"):
        found = _range(environ, wanted, etag=etag, modified_at=stat.st_mtime, size=size)
        if found is None:
            said = "the file is shorter than that\n"
            told = ("Content-Range", f"bytes */{size}"), ("Accept-Ranges", "bytes")
            return answer.text(environ, start, "416 Range Not Satisfiable", said, *told)
        first, end = found
    status = "200 OK"
    if end - first != size:
        status = "206 Partial Content"
        headers.append(("Content-Range", f"bytes {first}-{end - 1}/{size}"))
    # As octets, not as a zip archive: nothing on the way may unpack it, sniff it or compress it.
    start(status, [("Content-Type", "application/octet-stream"), ("Content-Length", str(end - first)), *headers])
    if environ["REQUEST_METHOD"] == "HEAD":
        return []
    chunks.at, chunks.end = first, end
    return chunks if end - first > _AT_ONCE_BYTES else [*chunks]


def _is_newer(environ: WSGIEnvironment, etag: str, modified_at: float) -> bool:
    """If-Modified-Since, which counts only without If-None-Match (RFC 9110, 13.2.2)."""
    if "HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MODIFIED_SINCE" not in environ:
        return True
    return is_modified(environ, etag=etag, last_modified=http_date(modified_at))


def _range(
    environ: WSGIEnvironment, wanted: str, *, etag: str, modified_at: float, size: int
) -> tuple[int, int] | None:
    """Where to begin and where to stop; None where the file has nothing of it.

    The whole file for what a server may ignore: several ranges, other units, no range at all, and a range of another
    edition (RFC 9110, 13.1.5 and 14.2).
    """
    parsed = parse_range_header(wanted)
    if parsed is None or parsed.units != "bytes" or len(parsed.ranges) != 1 or environ["REQUEST_METHOD"] != "GET":
        return 0, size
    if told := environ.get("HTTP_IF_RANGE"):
        edition = parse_if_range_header(told)
        same = edition.etag == etag[1:-1] if edition.date is None else edition.date.timestamp() == int(modified_at)
        if not same:
            return 0, size
    return parsed.range_for_length(size)


class _Chunks:
    """The bytes from *at* to *end* of an open file, piece by piece."""

    def __init__(self, file: int) -> None:
        self.file, self.at, self.end = file, 0, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        wanted = min(_CHUNK_BYTES, self.end - self.at)
        data = os.pread(self.file, wanted, self.at) if wanted else b""
        if not data:
            raise StopIteration
        self.at += len(data)
        return data

    def close(self) -> None:
        """Close the file; once is enough."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)


_date = lru_cache(maxsize=1024)(http_date)
