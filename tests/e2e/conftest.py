"""Whole farms in homes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.whole_farm import Farm, new_farm


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    """A farm that has not run yet; images come from the folder that all farms of this machine share."""
    with new_farm() as made:
        yield made
