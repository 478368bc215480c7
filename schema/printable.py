"""Text that came from outside, made safe to look at: what a terminal or a browser would obey becomes visible (T26)."""

from __future__ import annotations

import re

# C0 (but not tab and newline), DEL and C1; soft hyphen, zero-width and bidirectional marks, line and paragraph
# separators, invisible operators, byte order marks, interlinear notes, tags; lone surrogates, which cannot be encoded.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
_DELETE = 0x7F
_PICTURES = 0x2400  # Unicode's pictures of the C0 controls


def printable(text: str) -> str:
    """*text* with every character that acts instead of being shown replaced by a sign for it; tabs and newlines stay.

    C0 controls become their pictures (ESC is ``␛``), the others the escape that Python writes for them.
    """
    return _UNSAFE.sub(_sign, text)


def one_line(text: str, *, limit: int = 500) -> str:
    """The same on one line of at most *limit* characters."""
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < ord(" "):
        return chr(_PICTURES + code)
    if code == _DELETE:
        return "\u2421"
    return match[0].encode("ascii", "backslashreplace").decode("ascii")
