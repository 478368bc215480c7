"""Many rows in statements of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """*items* in their order, at most *size* at once (``itertools.batched`` comes with Python 3.12)."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
