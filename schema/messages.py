"""What every message of the wire has: plain data out, and a reader that raises WireError and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from schema.errors import FarmError, WireError

Json = Mapping[str, Any]
T = TypeVar("T")


def checked(parse: Callable[[type[T], Json], T]) -> Callable[[type[T], Any], T]:
    """Turn whatever goes wrong while reading a message into one WireError that names the message."""

    @functools.wraps(parse)
    def from_json(cls: type[T], data: Any) -> T:  # noqa: ANN401 - anything may come off the wire
        if not isinstance(data, Mapping):
            raise WireError(f"{cls.__name__}: not an object: {str(data)[:80]!r}")
        try:
            return parse(cls, data)
        except WireError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError, FarmError) as err:
            raise WireError(f"{cls.__name__}: {type(err).__name__}: {str(err)[:200]}") from err

    return from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What every message can do."""

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON: enums as their values, times and days as ISO 8601, tuples as lists."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def _plain(value: Any) -> Any:  # noqa: ANN401 - walks arbitrary plain data
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
