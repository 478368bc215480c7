"""Wheels and what lies beside them, sent with ranges (I-23) and marked as never changing (I-22)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from flask import Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import parse_range_header
from werkzeug.utils import send_file
from werkzeug.wsgi import FileWrapper

_NAME = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9_][A-Za-z0-9_.+!-]*\.whl(\.metadata|\.provenance)?")
_CHUNK_BYTES = 256 * 1024

# A wheel goes out as octets, not as a zip archive: nothing on the way may unpack it, sniff it or compress it.
_CONTENT_TYPES = {
    None: "application/octet-stream",
    ".metadata": "text/plain; charset=utf-8",
    ".provenance": "application/json",
}
_FOR_EVER = "public, max-age=31536000, immutable"


def send(folder: Path, name: str) -> Response | None:
    """The file *name* of *folder*, or the range of it that is asked for; None if there is none."""
    match = _NAME.fullmatch(name)
    path = folder / name
    if not match or not path.is_file():
        return None
    stat = path.stat()
    etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
    try:
        response = send_file(
            path,
            _environment(etag),
            mimetype="application/octet-stream",
            etag=etag,
            last_modified=stat.st_mtime,
            response_class=Response,
        )
    except FileNotFoundError:
        return None
    except RequestedRangeNotSatisfiable:
        return _no_such_range(stat.st_size)
    assert isinstance(response, Response)  # noqa: S101 - response_class says so; stated for mypy
    if response.status_code != HTTPStatus.NOT_MODIFIED:
        response.headers["Content-Type"] = _CONTENT_TYPES[match[1]]
    response.headers["Cache-Control"] = _FOR_EVER
    response.headers["Accept-Ranges"] = "bytes"
    response.headers.pop("Content-Disposition", None)  # the URL ends in the name already
    return response


def _environment(etag: str) -> dict[str, Any]:
    """The request, with large chunks, and without a Range that is to be ignored (RFC 9110, 13.2.2 and 14.2).

    werkzeug answers 416 to several ranges, to other units and to what is no range at all; the whole file serves those
    better. It also sends a range to a client that has the whole file.
    """
    environ = dict(request.environ)
    environ["wsgi.file_wrapper"] = _in_large_chunks
    wanted = parse_range_header(environ.get("HTTP_RANGE"))
    single = wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1
    if not single or request.method != "GET" or request.if_none_match.contains_weak(etag):
        environ.pop("HTTP_RANGE", None)
    return environ


def _in_large_chunks(file: IO[bytes], _buffer_bytes: int = 0) -> Iterable[bytes]:
    return FileWrapper(file, _CHUNK_BYTES)


def _no_such_range(size_bytes: int) -> Response:
    response = Response("the file is shorter than that\n", HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    response.headers["Content-Range"] = f"bytes */{size_bytes}"
    response.headers["Accept-Ranges"] = "bytes"
    return response
