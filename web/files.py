"""Wheels, sent with ranges (I-23) and marked as never changing (I-22)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from werkzeug.http import http_date, parse_if_range_header, parse_range_header
from werkzeug.http import is_resource_modified as is_modified

from web import answer
from web.answer import SECURITY, Body, Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FOR_EVER = "public, max-age=31536000, immutable"
_CHUNK_BYTES = 256 * 1024  # what is no longer goes out at once: a slow reader of it holds no thread


def send(environ: WSGIEnvironment, start: StartResponse, path: str) -> Body | None:
    """The wheel at *path*, or the range of it that is asked for; None if there is none."""
    try:
        file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115 - closed by what is returned
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    try:
        return _send(environ, start, file)
    except BaseException:
        file.close()
        raise


def _send(environ: WSGIEnvironment, start: StartResponse, file: BinaryIO) -> Body:
    stat = os.fstat(file.fileno())
    size, etag = stat.st_size, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    headers: Headers = [
        ("ETag", etag),
        ("Last-Modified", http_date(stat.st_mtime)),
        ("Cache-Control", FOR_EVER),
        ("Accept-Ranges", "bytes"),
        *SECURITY,
    ]
    if answer.has_it(environ, etag) or not _is_newer(environ, etag, stat.st_mtime):
        file.close()
        start("304 Not Modified", headers)
        return []
    first, end = 0, size
    if wanted := environ.get("HTTP_RANGE"):
        found = _range(environ, wanted, etag=etag, modified_at=stat.st_mtime, size=size)
        if found is None:
            file.close()
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
        file.close()
        return []
    if first:
        file.seek(first)
    if end - first > _CHUNK_BYTES:
        return _Chunks(file, end - first)
    with file:
        return [b"".join(_Chunks(file, end - first))]


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
    """The next *left* bytes of a file, in large pieces; closed when the server is done with it."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data = self._file.read(min(_CHUNK_BYTES, self._left))
        if not data:
            raise StopIteration
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
