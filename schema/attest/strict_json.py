"""JSON as a verifier reads it: a text has one meaning, or is refused.

Duplicate keys, NaN and lone surrogates are how two readers come to see two things in one signed text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from schema import names
from schema.errors import FarmError, TrustError
from schema.names import Sha256

Parsed = TypeVar("Parsed")

_TEXT_LIMIT = 16_384
_LIST_LIMIT = 20_000


def parse(data: bytes, *, what: str, limit_bytes: int) -> dict[str, Any]:
    """The object in *data*; *what* names it in errors. Raise TrustError for all that is not plain, unambiguous JSON."""
    if len(data) > limit_bytes:
        raise TrustError(f"{what}: {len(data)} bytes are more than the {limit_bytes} that are read")
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_number,
            parse_float=_finite,
        )
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # a lone surrogate ends here
    except (ValueError, RecursionError) as err:
        raise TrustError(f"{what}: not plain JSON: {str(err)[:200]}") from err
    if not isinstance(found, dict):
        raise TrustError(f"{what}: not a JSON object")
    return found


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an object that somebody else wrote; each method checks one, or raises TrustError with its path."""

    what: str
    values: Any

    def __post_init__(self) -> None:
        if not isinstance(self.values, Mapping):
            raise TrustError(f"{self.what}: not an object")

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def fields(self, key: str) -> Fields:
        """An object."""
        return Fields(self._path(key), self._value(key))

    def each(self, key: str) -> Iterator[Fields]:
        """The objects of a list."""
        for number, value in enumerate(self.items(key)):
            yield Fields(f"{self._path(key)}[{number}]", value)

    def items(self, key: str) -> list[Any]:
        """A list."""
        value = self._value(key)
        if not isinstance(value, list) or len(value) > _LIST_LIMIT:
            self._refuse(key, f"not a list of at most {_LIST_LIMIT} items")
        return value

    def text(self, key: str, *, limit: int = _TEXT_LIMIT) -> str:
        """A text of at most *limit* characters."""
        value = self._value(key)
        if not isinstance(value, str) or len(value) > limit:
            self._refuse(key, f"not a text of at most {limit} characters")
        return value

    def count(self, key: str) -> int:
        """A whole number of 0 or more."""
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            self._refuse(key, "not a whole number of 0 or more")
        return value

    def instant(self, key: str) -> datetime:
        """An ISO 8601 time with its zone, as UTC."""
        text = self.text(key, limit=64)
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                self._refuse(key, "a time without its zone")
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self._refuse(key, "not a time")

    def sha256(self, key: str) -> Sha256:
        """64 lower-case hex digits."""
        return self.parsed(key, names.sha256)

    def parsed(self, key: str, parse: Callable[[str], Parsed]) -> Parsed:
        """A text as *parse* reads it; its ValueError or FarmError becomes a TrustError."""
        try:
            return parse(self.text(key))
        except (ValueError, FarmError) as err:
            raise TrustError(f"{self._path(key)}: {str(err)[:200]}") from err

    def must_be(self, key: str, expected: str | int) -> None:
        """Raise TrustError unless the field is *expected*."""
        value = self._value(key)
        if type(value) is not type(expected) or value != expected:
            raise TrustError(f"{self._path(key)}: {str(value)[:80]!r}; only {expected!r} is trusted")

    def _value(self, key: str) -> Any:  # noqa: ANN401 - anything may stand there
        if key not in self.values:
            raise TrustError(f"{self._path(key)}: missing")
        return self.values[key]

    def _path(self, key: str) -> str:
        return f"{self.what}: {key}" if ": " not in self.what else f"{self.what}.{key}"

    def _refuse(self, key: str, why: str) -> NoReturn:
        raise TrustError(f"{self._path(key)}: {why}: {str(self.values[key])[:80]!r}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number
