"""The XML-RPC changelog: news within seconds, where the settings ask for it (W-03, W-05)."""

from __future__ import annotations

import re
import xmlrpc.client
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin
from xml.parsers import expat

from master.feed import strict_xml
from master.feed.news import Batch, Event, Kind, NoFeedError, Position
from master.upstream import Upstream, serial_in
from schema import names
from schema.errors import NotANameError, UpstreamError
from schema.printable import one_line

_LIMIT_BYTES = 64 * 2**20
_MOST_ROWS = 50_000
_TOO_MANY = -32500
_REST_S = 300.0
_LONGEST_REST_S = 3600.0
_KNOWN = re.compile(
    r"create|new release|add \S+ file .+|unyank release|(project|release) quarantine cleared|"
    r"(?P<away>remove file .+|remove release|remove project|remove|yank release|(project|release) quarantined)"
)


class ChangelogFeed:
    """Asks for the rows above the last serial, less a margin."""

    name = "changelog"

    def __init__(self, upstream: Upstream, *, margin: int) -> None:
        self._upstream, self._margin = upstream, margin
        self._url = urljoin(upstream.index_url, "/pypi")

    def news(self, position: Position) -> Batch:
        """The first time it only says where the changelog ends."""
        if not position.serial:
            return Batch(events=(), serial=self._last(), first=True)
        rows = self._call("changelog_since_serial", max(position.serial - self._margin, 0))
        if not isinstance(rows, list) or len(rows) > _MOST_ROWS:
            raise UpstreamError(f"the changelog gives no list of at most {_MOST_ROWS} rows")
        events, unknown, newest = [], [], position.serial
        for row in rows:
            name, action, serial = _row(row)
            newest = max(newest, serial)
            known = _KNOWN.fullmatch(action) if serial else None
            if known and name:
                events.append(Event(name, serial, Kind.TAKEN_AWAY if known["away"] else Kind.CHANGED))
            elif serial > position.serial or not serial:  # the margin's were counted before
                unknown.append(action)
        return Batch(
            events=tuple(events),
            serial=newest,
            unknown=len(unknown),
            newest_unknown=one_line(unknown[-1], limit=200) if unknown else "",
            more=len(rows) == _MOST_ROWS and newest > position.serial,
        )

    def _last(self) -> int:
        if serial := serial_in(self._call("changelog_last_serial")):
            return serial
        raise UpstreamError("the changelog does not say its last serial")

    def _call(self, method: str, *arguments: int) -> Any:  # noqa: ANN401 - whatever the upstream answers
        content = _request(method, arguments)
        answer = _Answer()
        try:
            status = self._upstream.stream(
                self._url, answer.feed, headers={"Content-Type": "text/xml"}, limit_bytes=_LIMIT_BYTES, content=content
            ).status
            if status != 200:  # noqa: PLR2004 - HTTP
                raise NoFeedError(f"the upstream has no changelog: it answers {status}")
            return answer.value()
        except xmlrpc.client.Fault as fault:
            raise self._refusal(fault) from fault
        except (expat.ExpatError, xmlrpc.client.Error, ValueError, LookupError, TypeError, AttributeError) as err:
            raise UpstreamError(f"the changelog's answer is no XML-RPC: {one_line(str(err), limit=200)}") from err

    def _refusal(self, fault: xmlrpc.client.Fault) -> UpstreamError:
        text = one_line(str(fault.faultString), limit=300)
        if fault.faultCode != _TOO_MANY:
            return UpstreamError(f"the changelog refuses: {text}")
        found = re.search(r"(\d{1,6})\s*second", text)
        rest_s = min(float(found[1]), _LONGEST_REST_S) if found else _REST_S
        return UpstreamError(f"the changelog asks for a rest of {rest_s:.0f} s: {text}", retry_after_s=rest_s)


def _request(method: str, arguments: Sequence[int]) -> bytes:
    """Serials are beyond XML-RPC's 32 bits one day; the upstream takes them all the same."""
    values = "".join(f"<param><value><int>{item}</int></value></param>" for item in arguments)
    return (
        f"<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>{values}</params></methodCall>"
    ).encode()


def _row(row: Any) -> tuple[Any, str, int]:  # noqa: ANN401
    """Name (None for what is none), action and serial (0 for what is none)."""
    if not isinstance(row, list) or len(row) < 5 or not isinstance(row[3], str):  # noqa: PLR2004 - the row's fields
        return None, f"a row that is none: {str(row)[:80]}", 0
    try:
        name = names.project_name(row[0]) if isinstance(row[0], str) and len(row[0]) <= 255 else None  # noqa: PLR2004
    except NotANameError:
        name = None
    return name, row[3], serial_in(row[4])


class _Answer:
    """The library's own values, out of a parser that refuses what is dangerous."""

    def __init__(self) -> None:
        self._values = xmlrpc.client.Unmarshaller()
        self._values.xml("", None)  # text comes decoded
        self._parser = strict_xml.parser()
        self._parser.StartElementHandler = self._values.start
        self._parser.EndElementHandler = self._values.end
        self._parser.CharacterDataHandler = self._values.data

    def feed(self, piece: bytes) -> None:
        self._parser.Parse(piece, False)

    def value(self) -> Any:  # noqa: ANN401
        self._parser.Parse(b"", True)
        return self._values.close()[0]
