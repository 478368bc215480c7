"""Whole farms in homes of their own."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole_farm import Farm, free_port


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    """A farm that has not run yet; images come from the folder that all farms of this machine share."""
    with tempfile.TemporaryDirectory(prefix="wf-farm-", ignore_cleanup_errors=True) as name:
        made = Farm(folder=Path(name), port=free_port())
        made.folder.chmod(0o755)
        made.settings_file.write_text(
            f'[farm]\nname = "test"\nhome = "home"\n[web]\nport = {made.port}\n'
            f'[node]\nname = "n-{made.port}"\nworkspace = "work"\nslots = 1\n'
        )
        yield made
        if made.process is not None:
            made.stop(signal.SIGTERM)
        for pid in made.processes():
            os.kill(pid, signal.SIGKILL)
