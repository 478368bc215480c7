"""What the index says to a WSGI server, in the fewest steps; Flask has its own way for the pages for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.http import parse_etags

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Headers = list[tuple[str, str]]
Body = Iterable[bytes]

SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("Referrer-Policy", "same-origin"),
)
# In the environment: the status of an answer that is not what was asked for, such as "304".
STATUS = "wheelfarm.status"
_LATER_CACHING = "public, max-age=86400"


def text(environ: WSGIEnvironment, start: StartResponse, status: str, said: str, *headers: tuple[str, str]) -> Body:
    """A short answer in plain words."""
    environ[STATUS] = status[:3]
    data = said.encode()
    start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(data))), *SECURITY, *headers])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [data]


def nothing(environ: WSGIEnvironment, start: StartResponse, what: str) -> Body:
    """404: an installer goes on to its next index (I-03); not kept, so that a wheel is seen as soon as it is there."""
    return text(environ, start, "404 Not Found", f"no such {what} here\n", ("Cache-Control", "no-cache"))


def later(environ: WSGIEnvironment, start: StartResponse, said: str) -> Body:
    """503: an installer tries again, or says that it could not ask."""
    return text(environ, start, "503 Service Unavailable", said, ("Retry-After", "15"), ("Cache-Control", "no-cache"))


def elsewhere(environ: WSGIEnvironment, start: StartResponse, path: str) -> Body:
    """A permanent redirect to another path of this server, without scheme and host (I-26); the query stays."""
    query = quote(environ.get("QUERY_STRING", ""), safe="%&=?/:;+$,@!~*'()[]", encoding="latin-1")
    location = quote(path) + (f"?{query}" if query else "")
    headers = ("Location", location), ("Cache-Control", _LATER_CACHING)
    return text(environ, start, "301 Moved Permanently", "", *headers)


def has_it(environ: WSGIEnvironment, etag: str) -> bool:
    """Whether the client has the edition with that strong *etag* (quotes included) already."""
    told = environ.get("HTTP_IF_NONE_MATCH")
    if not told:
        return False
    return told == etag or parse_etags(told).contains_weak(etag[1:-1])
