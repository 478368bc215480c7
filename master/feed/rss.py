"""The upstream's RSS of newest releases, where it has one: a wake-up, no feed (W-09).

It holds the last hundred only, and no serials, so nothing rests on it: a project that it names is looked at now and
not in its turn, and what it misses is found in its turn all the same.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin
from xml.parsers import expat

from packaging.utils import NormalizedName

from master.feed import strict_xml
from master.feed.news import NoFeedError
from master.upstream import Upstream
from schema import names
from schema.errors import NotANameError, UpstreamError
from schema.printable import one_line

_PATH = "/rss/updates.xml"
_LIMIT_BYTES = 2**20
_MOST_ITEMS = 1000
_LONGEST_TITLE = 400


class WakeUp:
    """Reads the RSS turn by turn, and tells each entry once."""

    name = "rss"

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._url = urljoin(upstream.index_url, _PATH)
        self._etag = ""
        self._told: frozenset[str] = frozenset()

    def news(self) -> set[NormalizedName]:
        """The projects with entries that were not there the last time.

        Raise NoFeedError where the upstream has no RSS, UpstreamError for one that cannot be read.
        """
        titles = _Titles()
        headers = {"Accept": "application/rss+xml, text/xml;q=0.9"} | (
            {"If-None-Match": self._etag} if self._etag else {}
        )
        try:
            answer = self._upstream.stream(self._url, titles.feed, headers=headers, limit_bytes=_LIMIT_BYTES)
            if answer.status == 304 and self._etag:  # noqa: PLR2004 - HTTP
                return set()
            if answer.status != 200:  # noqa: PLR2004
                raise NoFeedError(f"the upstream has no RSS: it answers {answer.status}")
            found = titles.end()
        except (expat.ExpatError, ValueError) as err:
            raise UpstreamError(f"the upstream's RSS is none: {one_line(str(err), limit=200)}") from err
        news = found - self._told
        self._told, self._etag = found, answer.headers.get("ETag", "")[:1000]
        return {name for name in map(_project, news) if name is not None}


def _project(title: str) -> NormalizedName | None:
    """The project of an entry, whose title is its name and version."""
    try:
        return names.project_name(title.split(" ", 1)[0])
    except NotANameError:
        return None


class _Titles:
    """The titles of ``rss/channel/item``, bounded in number and length."""

    def __init__(self) -> None:
        self._parser = strict_xml.parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._path: list[str] = []
        self._title = ""
        self._found: set[str] = set()

    def feed(self, piece: bytes) -> None:
        self._parser.Parse(piece, False)

    def end(self) -> frozenset[str]:
        self._parser.Parse(b"", True)
        return frozenset(self._found)

    def _start(self, tag: str, _: Any) -> None:  # noqa: ANN401 - its attributes, of no use here
        if not self._path and tag != "rss":
            raise ValueError(f"its root is {tag[:80]}")
        self._path.append(tag)
        self._title = ""

    def _text(self, text: str) -> None:
        if self._path[1:] == ["channel", "item", "title"] and len(self._title) < _LONGEST_TITLE:
            self._title += text

    def _end(self, _: str) -> None:
        if self._path[1:] == ["channel", "item", "title"] and len(self._found) < _MOST_ITEMS:
            self._found.add(self._title.strip()[:_LONGEST_TITLE])
        self._path.pop()
