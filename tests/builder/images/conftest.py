"""Where images can be made that nobody keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import process


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that the build user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="wf-images-"))
    folder.chmod(0o755)
    yield folder
    process.remove(folder)  # never across a mount, which a maker that was killed may leave behind
