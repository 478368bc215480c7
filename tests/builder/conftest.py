"""What the tests of a node share."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from builder.log import Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """The log of one job."""
    return Log(tmp_path / "job.log", limit_bytes=4 * 2**20)


@pytest.fixture
def cancelled() -> threading.Event:
    """Set it to cancel what runs."""
    return threading.Event()
