"""The list of all projects with their serials, read as a stream: the feed that every other one rests on (W-02)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ijson
from packaging.utils import NormalizedName

from master.feed.news import Batch, Event, NoFeedError, Position
from master.upstream import Upstream, serial_in
from schema import names
from schema.errors import NotANameError, UpstreamError
from schema.printable import one_line
from schema.simple.read import JSON_TYPE

_LIMIT_BYTES = 256 * 2**20
_MOST_PROJECTS = 5_000_000


class SimpleFeed:
    """Compares serials above the last one read, less a margin, so what it gives grows with the changes alone (W-04)."""

    name = "simple"

    def __init__(self, upstream: Upstream, *, margin: int) -> None:
        self._upstream, self._margin = upstream, margin

    def news(self, position: Position) -> Batch:
        """A list older than *position* gives no events; the first one only says where the feed begins."""
        above = position.serial - self._margin
        events: list[Event] = []
        newest = 0

        def note(name: NormalizedName, serial: int) -> None:
            nonlocal newest
            newest = max(newest, serial)
            if position.serial and serial > above:
                events.append(Event(name, serial))

        etag = read_list(self._upstream, note, etag=position.etag)
        if etag is None:
            return Batch(events=(), serial=position.serial, etag=position.etag)
        if not newest:
            raise NoFeedError("the upstream's list of projects has no serials")
        return Batch(events=tuple(events), serial=max(newest, position.serial), etag=etag, first=position.serial == 0)


def read_list(upstream: Upstream, note: Callable[[NormalizedName, int], None], *, etag: str = "") -> str | None:
    """Call *note* with each project and its serial (0 where none is given); return the ETag, None if it is unchanged.

    Raise UpstreamError for a list that does not end well: what was noted of it is then not to be believed.
    """
    projects = _Projects(note)
    headers = {"Accept": JSON_TYPE} | ({"If-None-Match": etag} if etag else {})
    parser = _Parser(projects)
    answer = upstream.stream("", parser.send, headers=headers, limit_bytes=_LIMIT_BYTES)
    if answer.status == 304 and etag:  # noqa: PLR2004 - HTTP
        return None
    if answer.status != 200:  # noqa: PLR2004
        raise NoFeedError(f"the upstream has no list of projects: it answers {answer.status}")
    if answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise NoFeedError("the upstream has no list of projects as JSON")
    parser.close()
    if not projects.count:
        raise UpstreamError("the list of projects is empty")
    return answer.headers.get("ETag", "")[:1000]


class _Parser:
    """Parses as the bytes come; what is wrong with them counts only once their type is known."""

    def __init__(self, projects: _Projects) -> None:
        self._parser = ijson.items_coro(projects, "projects.item")
        self._error: ijson.JSONError | None = None

    def send(self, piece: bytes) -> None:
        if self._error is None:
            try:
                self._parser.send(piece)
            except ijson.JSONError as err:
                self._error = err

    def close(self) -> None:
        """Raise UpstreamError if that was no JSON from one end to the other."""
        try:
            if self._error is not None:
                raise self._error
            self._parser.close()
        except ijson.JSONError as err:
            text = one_line(str(err), limit=200)
            raise UpstreamError(f"the list of projects is not JSON: {text}") from err


class _Projects:
    """Takes the entries as they are parsed; ijson pushes with ``send``."""

    def __init__(self, note: Callable[[NormalizedName, int], None]) -> None:
        self._note = note
        self.count = 0

    def send(self, entry: Any) -> None:  # noqa: ANN401 - anything may stand in the list
        """Pass over what is no project."""
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or len(entry["name"]) > 255:  # noqa: PLR2004
            return
        self.count += 1
        if self.count > _MOST_PROJECTS:
            raise UpstreamError(f"the list of projects has more than {_MOST_PROJECTS}")
        try:
            name = names.project_name(entry["name"])
        except NotANameError:
            return
        self._note(name, serial_in(entry.get("_last-serial")))

    def close(self) -> None:
        """Nothing is held back."""
