"""The upstream of tests whose ``index`` is a FakePyPI."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from master.upstream import Upstream
from tests.pypi import FakePyPI


@pytest.fixture
def upstream(index: FakePyPI) -> Iterator[Upstream]:
    with Upstream(index.url, user_agent="wheelfarm/0 (test)", timeout_s=3.0, list_timeout_s=1.0) as client:
        yield client
