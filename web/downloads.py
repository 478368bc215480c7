"""Wheels that were sent: counted by file, day and kind of installer, never by who or where it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schema import clients
from schema.clients import UNKNOWN
from schema.db import downloads
from schema.db.downloads import Fetched
from web.write_behind import PAUSE_S, WriteBehind

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MOST_KEYS = 10_000

# Of these an answer may be less than the whole file: a look at the metadata inside, or the rest of one begun before.
_PARTLY = ("HTTP_RANGE", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")


class Downloads(WriteBehind[Fetched]):
    """Counts of this process."""

    def __init__(self, url: str, *, pause_s: float = PAUSE_S) -> None:
        super().__init__(url, downloads.add, what="downloads", most=_MOST_KEYS, pause_s=pause_s)

    def count(self, environ: WSGIEnvironment, filename: str) -> None:
        """A request for the wheel *filename*, which is there, is answered."""
        if environ["REQUEST_METHOD"] != "GET" or any(header in environ for header in _PARTLY):
            return
        today = datetime.now(UTC).date()
        who = clients.client(environ.get("HTTP_USER_AGENT", ""))
        # Where there is no room for one kind more, the file still counts.
        if not self.add(Fetched(today, filename, who)):
            self.add(Fetched(today, filename, UNKNOWN))
