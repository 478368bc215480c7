"""The links of an HTML page, in time that grows with the page and no faster, whatever stands in it.

The standard library's parser, as in pip; it is fed piece by piece, so that what never ends is noticed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urljoin

from schema.errors import UpstreamError

_PIECE = 16 * 2**10
_TAG_LIMIT = 64 * 2**10
_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """links: the attributes of each ``<a href>``; meta: of ``pypi:`` names, without that prefix; base: absolute."""

    links: Sequence[Mapping[str, str]]
    meta: Mapping[str, str]
    base: str


def read_links(body: bytes, url: str, *, most: int) -> Links:
    """Read a page that came from *url*; raise UpstreamError if it is no HTML, or has more links than *most*."""
    parser = _LinkParser()
    text = body.decode("utf-8", "replace")
    started = time.monotonic()
    for start in range(0, len(text), _PIECE):
        try:
            parser.feed(text[start : start + _PIECE])
        except AssertionError as err:  # how the standard library meets declarations that it does not know
            raise UpstreamError(f"{url}: not a page of an index: {err}") from err
        if len(parser.rawdata) > _TAG_LIMIT or time.monotonic() - started > _LIMIT_S:
            raise UpstreamError(f"{url}: not a page of an index: its HTML is no HTML")
        if len(parser.links) > most:
            raise UpstreamError(f"{url}: lists more than {most} files; no project has so many")
    if not parser.seen:
        raise UpstreamError(f"{url}: not a page of an index: there is no HTML in it")
    return Links(links=parser.links, meta=parser.meta, base=_joined(url, parser.base))


class _LinkParser(HTMLParser):
    """Collects what PEP 503 and 629 put into start tags; text and nesting do not matter."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen = False
        self.base = ""
        self.links: list[dict[str, str]] = []
        self.meta: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen = True
        attributes = {key: value or "" for key, value in attrs}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes)
        elif tag == "base":
            self.base = self.base or attributes.get("href", "")
        elif tag == "meta" and attributes.get("name", "").startswith("pypi:"):
            self.meta.setdefault(attributes["name"].removeprefix("pypi:"), attributes.get("content", ""))


def _joined(page_url: str, base: str) -> str:
    try:
        return urljoin(page_url, base)
    except ValueError:
        return page_url
