"""What views of the API are asked for: cursors and limits, and what a column can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from msgspec import Meta

from web.api.endpoints import Page

Row = TypeVar("Row")
Item = TypeVar("Item")

Text = Annotated[str, Meta(max_length=255, pattern="^[^\\x00]*$")]
Limit = Annotated[int, Meta(ge=1, le=100, description="At most so many.")]
NumberCursor = Annotated[int, Meta(ge=0, le=2**31 - 1, description="The cursor of the page before, 0 for the first.")]
NameCursor = Annotated[str, Meta(max_length=255, pattern="^[^\\x00]*$", description="The cursor of the page before.")]
Number = Annotated[int, Meta(ge=0, le=2**31 - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A page of what has numbers, the newest first."""

    cursor: NumberCursor = 0
    limit: Limit = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """cursor: of the page before, 0 for the first."""

    cursor: NumberCursor = 0


def cursor(number: int) -> str:
    """Of what follows that number; "" for 0, at the end."""
    return str(number or "")


def paged(
    found: Sequence[Row], limit: int, shape: Callable[[Row], Item], cursor: Callable[[Row], object]
) -> Page[Item]:
    """The first *limit* of *found*, which has one more where more follow."""
    shown = found[:limit]
    return Page(items=[shape(row) for row in shown], next=str(cursor(shown[-1])) if len(found) > limit else "")
