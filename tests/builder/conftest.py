"""What the tests of a node share."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import process
from builder.log import Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """The log of one job."""
    return Log(tmp_path / "job.log", limit_bytes=4 * 2**20)


@pytest.fixture
def cancelled() -> threading.Event:
    """Set it to cancel what runs."""
    return threading.Event()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that the build user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="wf-images-"))
    folder.chmod(0o755)
    yield folder
    process.remove(folder)  # never across a mount, which a maker that was killed may leave behind
