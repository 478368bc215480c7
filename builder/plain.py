"""Lines of a log, made fit to be shown and searched."""

from __future__ import annotations

import re

LINE_LIMIT = 500  # characters of a line that is shown
# No alternative reaches over the next escape character: a hostile line is read once, whatever stands in it.
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


def plain(line: str, *, limit: int = LINE_LIMIT) -> str:
    """One line without escape sequences, control and bidi characters, and not longer than *limit* (T26)."""
    # Cut before as well: what a terminal would not show takes room too, but not without end.
    return _CONTROL.sub("", line[: 8 * limit].replace("\n", " ")).strip()[:limit]
