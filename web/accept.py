"""Content negotiation for the index (PEP 691): which form of a page a request asks for, and compressed how.

A small selector of our own, because werkzeug's ``best_match`` fails four of the vectors that real clients send (I-05).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_REMEMBERED_CHARS = 300  # of a header; the installers that there are send shorter ones


class Form(StrEnum):
    """The three forms of a page, the most featureful first; each value is the exact Content-Type (I-04)."""

    JSON = "application/vnd.pypi.simple.v1+json"
    HTML = "application/vnd.pypi.simple.v1+html"
    LEGACY = "text/html"


# I-06: asked for as "latest", answered as the concrete version.
_LATEST = {
    "application/vnd.pypi.simple.latest+json": Form.JSON,
    "application/vnd.pypi.simple.latest+html": Form.HTML,
}

# Who takes anything is a person, curl or an old tool: plain HTML. Who names several likes the most featureful.
_NAMED_ORDER = (Form.JSON, Form.HTML, Form.LEGACY)
_UNNAMED_ORDER = (Form.LEGACY, Form.JSON, Form.HTML)

# How closely a media range names a form: the closest one decides about its q (RFC 9110, 12.5.1).
_ANY, _ANY_OF_TYPE, _ALIAS, _EXACT = range(4)


@dataclass(frozen=True, slots=True)
class _Range:
    """One element of an Accept header; *value* is in lower case."""

    value: str
    q: float

    def closeness(self, form: Form) -> int | None:
        """How closely this range names *form*; None if not at all."""
        if self.value == form:
            return _EXACT
        if _LATEST.get(self.value) == form:
            return _ALIAS
        if self.value == f"{form.partition('/')[0]}/*":
            return _ANY_OF_TYPE
        return _ANY if self.value in {"*/*", "*"} else None


def asked_form(environ: WSGIEnvironment) -> Form | None:
    """The form that a request wants, by ``?format=`` or by its Accept; None if it takes none of ours (I-07: 406)."""
    if query := environ.get("QUERY_STRING"):
        asked = parse_qs(query, keep_blank_values=True).get("format")
        if asked:
            return named_form(asked[0])
    header = environ.get("HTTP_ACCEPT", "")
    return _form(header) if len(header) < _REMEMBERED_CHARS else form(header)


def asked_suffixes(environ: WSGIEnvironment) -> tuple[str, ...]:
    """``suffixes`` of a request."""
    header = environ.get("HTTP_ACCEPT_ENCODING", "")
    return _suffixes(header) if len(header) < _REMEMBERED_CHARS else suffixes(header)


def form(accept: str | None) -> Form | None:
    """The form that an Accept header likes best; None if it takes none of ours (I-07: 406).

    No header, or an empty one, takes anything.
    """
    ranges = list(_elements(accept or "")) or [_Range("*/*", 1.0)]
    ranked = [(rank, item) for item in Form if (rank := _rank(item, ranges))]
    return max(ranked)[1] if ranked else None


def named_form(text: str) -> Form | None:
    """The form that ``?format=`` names (I-08); None if we have no such form.

    A plus that nobody escaped reaches us as a space.
    """
    value = text.strip().lower().replace(" ", "+")
    return next((item for item in Form if item == value), _LATEST.get(value))


def suffixes(accept_encoding: str | None) -> tuple[str, ...]:
    """What to look for beside a file, the best first: ``.zst``, ``.gz``; the plain bytes (``""``) always serve.

    Nothing that the client does not take, or likes less than the plain bytes.
    """
    weights = {item.value: item.q for item in _elements(accept_encoding or "")}
    others, plain = weights.get("*", 0.0), weights.get("identity", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", others))
    ranked = [(weights.get("zstd", others), ".zst"), (gzip, ".gz")]
    liked = [(q, suffix) for q, suffix in ranked if q > 0 and q >= plain]
    return (*(suffix for _, suffix in sorted(liked, key=lambda item: -item[0])), "")


def _rank(item: Form, ranges: list[_Range]) -> tuple[float, int, int] | None:
    """What decides between forms: the weight, then how closely it was named, then our own liking; None: refused."""
    matches = [(closeness, element.q) for element in ranges if (closeness := element.closeness(item)) is not None]
    if not matches:
        return None
    closeness, q = max(matches)
    if q <= 0:
        return None
    order = _NAMED_ORDER if closeness >= _ALIAS else _UNNAMED_ORDER
    return q, min(closeness, _ALIAS), -order.index(item)


def _elements(header: str) -> Iterator[_Range]:
    """The well-formed elements of an Accept header; parameters other than q (such as charset) say nothing to us."""
    for element in header.split(","):
        value, *parameters = (part.strip().lower() for part in element.split(";"))
        if not value:
            continue
        weights = [part[2:].strip() for part in parameters if part.startswith("q=")]
        q = _weight(weights[0]) if weights else 1.0
        if q is not None:
            yield _Range(value, q)


def _weight(text: str) -> float | None:
    try:
        q = float(text)
    except ValueError:
        return None
    return q if 0.0 <= q <= 1.0 else None


_form = lru_cache(maxsize=64)(form)
_suffixes = lru_cache(maxsize=64)(suffixes)
