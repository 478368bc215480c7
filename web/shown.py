"""How values are written on the pages; whatever a template prints goes through ``inert`` first (T25, T26)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from schema.db.audit import change
from schema.db.why.answers import moment, span
from schema.errors import UnknownPlatformError
from schema.platforms import Platform
from schema.printable import printable
from schema.webhooks import shown as shown_url

_WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9\[][!#-;=?-\[\]-~]*")
_COMMAND = re.compile("`([^`]*)`")
_CODE = Markup("<code>{}</code>")  # format() escapes what is put in
_KILO = 1000

# State → the group that gives its colour; each is also written out, so that nobody needs the colour.
_TONES = {
    "published": "good",
    "served": "good",
    "built": "good",
    "active": "good",
    "unneeded": "plain",
    "withdrawn": "plain",
    "unrequested": "plain",
    "cancelled": "plain",
    "leased": "busy",
    "collecting": "busy",
    "running": "busy",
    "waiting": "wait",
    "queued": "wait",
    "requested": "wait",
    "held": "hold",
    "draining": "hold",
    "unfit": "hold",
    "probation": "wait",
}
_WORDS = {
    "leased": "building",
    "collecting": "checking",
    "unneeded": "not needed",
    "unrequested": "not requested",
    "unresolved": "cannot be",
    "missing": "unknown upstream",
    "upstream-error": "upstream fails",
}


def inert(value: object) -> object:
    """What a template prints, with control characters made visible; None is nothing; escaping comes after this."""
    if value is None:
        return ""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(value)


def web_address(url: str | None) -> str:
    """*url* if it is a plain http or https address, else "": a page links to nothing else."""
    return url if url and _WEB_ADDRESS.fullmatch(url) else ""


def sentence(text: str) -> Markup:
    """One of the farm's sentences; what stands between backticks is a command or a name to type."""
    pieces = _COMMAND.split(printable(text))
    return Markup("").join(_CODE.format(piece) if index % 2 else piece for index, piece in enumerate(pieces))


def size(count: float | None) -> str:
    """A number of bytes for people: ``467 kB``."""
    if count is None:
        return "unknown size"
    for unit in ("B", "kB", "MB", "GB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= _KILO
    return f"{count:.1f} TB"


def age(value: datetime, *, now: datetime | None = None) -> str:
    """How long ago: ``3 min ago``."""
    seconds = ((now or datetime.now(UTC)) - value).total_seconds()
    if seconds < 0:
        return "in " + span(-seconds).rsplit(" ", 2)[0] if -seconds >= 3600 else "in " + span(-seconds)  # noqa: PLR2004
    return " ".join(span(seconds).split()[:2]) + " ago"


def duration(seconds: float | None) -> str:
    """A step's length: ``0.4 s``, ``3 min 20 s``; "" while it is not known."""
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else span(seconds)  # noqa: PLR2004 - a minute


def roughly(seconds: float) -> str:
    """A length of time in its greatest unit, for a forecast: ``23 min``."""
    return " ".join(span(seconds).split()[:2])


def tone(state: str) -> str:
    """The colour's group of a state; what is not known is bad news."""
    return _TONES.get(state, "bad")


def word(state: str) -> str:
    """A state in a reader's words."""
    return _WORDS.get(state, state)


def platform_title(text: str) -> str:
    """``Debian 12, x86_64, CPython 3.11``; a platform that is not known stays as it is."""
    try:
        platform = Platform.parse(text)
    except UnknownPlatformError:
        return text
    version = ".".join(str(part) for part in platform.python_version)
    return f"{platform.distribution.title}, {platform.arch}, CPython {version}"


FILTERS: dict[str, Any] = {
    "age": age,
    "change": change,
    "duration": duration,
    "host": shown_url,
    "moment": moment,
    "platform_title": platform_title,
    "roughly": roughly,
    "sentence": sentence,
    "size": size,
    "tone": tone,
    "web_address": web_address,
    "word": word,
}
