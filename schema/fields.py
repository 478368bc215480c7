"""Single fields of a message off the wire: what is not exactly as promised raises ValueError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from packaging.requirements import Requirement

T = TypeVar("T")

_TEXT_LIMIT = 16_384
_ITEMS_LIMIT = 10_000
_SECONDS_LIMIT = 1e9


def maybe(value: Any, parse: Callable[[Any], T]) -> T | None:  # noqa: ANN401 - not checked yet, as below
    """None stays None; anything else is parsed."""
    return None if value is None else parse(value)


def text(value: Any, *, limit: int = _TEXT_LIMIT) -> str:  # noqa: ANN401
    """A text of at most *limit* characters."""
    if not isinstance(value, str) or len(value) > limit:
        raise ValueError(f"not a text of at most {limit} characters: {str(value)[:80]!r}")
    return value


def storable(value: Any) -> str:  # noqa: ANN401
    """The same, for a column of text: no database takes the character NUL, so it is shown."""
    return text(value).replace("\0", "\u2400")


def file_name(value: Any) -> str:  # noqa: ANN401
    """The plain name of a file: no path, nothing hidden, no line's end."""
    name = text(value, limit=255)
    if not name or name.startswith(".") or any(char in name for char in "/\\\0\n\r"):
        raise ValueError(f"not a plain file name: {name!r}")
    return name


def count(value: Any, *, most: int = 2**63 - 1) -> int:  # noqa: ANN401
    """A whole number from 0 to *most*."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"not a whole number of 0 or more: {str(value)[:80]!r}")
    return value


def line_number(value: Any) -> int:  # noqa: ANN401
    """The number of a line in a log; no larger than the database's column takes."""
    return count(value, most=2**31 - 1)


def seconds(value: Any) -> float:  # noqa: ANN401
    """A number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _SECONDS_LIMIT:
        raise ValueError(f"not a number of seconds: {str(value)[:80]!r}")
    return float(value)


def instant(value: Any) -> datetime:  # noqa: ANN401
    """An ISO 8601 time with its zone, as UTC."""
    moment = datetime.fromisoformat(text(value, limit=64))
    if moment.tzinfo is None:
        raise ValueError(f"a time without its zone: {value!r}")
    return moment.astimezone(UTC)


def items(value: Any, *, limit: int = _ITEMS_LIMIT) -> list[Any]:  # noqa: ANN401
    """A list of at most *limit* items, which are not checked yet."""
    if not isinstance(value, (list, tuple)) or len(value) > limit:
        raise ValueError(f"not a list of at most {limit} items: {str(value)[:80]!r}")
    return list(value)


def requirement(value: Any) -> str:  # noqa: ANN401
    """A requirement (PEP 508) that an index could satisfy, in its canonical spelling: no URL, no marker."""
    parsed = Requirement(text(value, limit=255))
    if parsed.url or parsed.marker:
        raise ValueError(f"a requirement with a URL or a marker: {str(value)[:80]!r}")
    return str(parsed)


def texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    """A list of texts."""
    return tuple(text(item) for item in items(value))


def text_map(value: Any) -> dict[str, str]:  # noqa: ANN401
    """An object whose values are texts."""
    if not isinstance(value, Mapping) or len(value) > _ITEMS_LIMIT:
        raise ValueError(f"not an object of texts: {str(value)[:80]!r}")
    return {text(key): text(item) for key, item in value.items()}
