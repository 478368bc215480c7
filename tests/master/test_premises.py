"""What must be free before a farm starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from master import premises
from schema.errors import SettingsError, UsageError
from schema.sections import FarmSection, WebSection
from schema.settings import Settings


def _settings(home: Path, *, port: int = 8181, host: str = "127.0.0.1") -> Settings:
    return Settings(farm=FarmSection(home=home), web=WebSection(host=host, port=port))


def test_a_home_serves_one_run_at_a_time(tmp_path: Path) -> None:
    settings = _settings(tmp_path)

    with (
        premises.occupied(settings, say=print),
        pytest.raises(UsageError, match=rf"another `wheelfarm run` \(process {os.getpid()}\) uses"),
        premises.occupied(settings, say=print),
    ):
        pass

    with premises.occupied(settings, say=print):
        pass


def test_a_run_waits_for_the_last_child_of_a_killed_one(tmp_path: Path) -> None:
    settings, said = _settings(tmp_path), list[str]()
    with premises.occupied(settings, say=print) as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(1.5)"], pass_fds=[lock], stdin=subprocess.DEVNULL
        )
    # The owner that the lock names is dead, as after a SIGKILL.
    (tmp_path / "run.lock").write_text("999999999")

    with premises.occupied(settings, say=said.append):
        assert child.poll() is not None

    child.wait(5)
    assert said == ["Waiting for the last processes of an earlier run to end"]


def test_a_home_that_cannot_be_made_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(SettingsError, match=r"farm\.home: .*file/home cannot be used"),
        premises.occupied(_settings(tmp_path / "file" / "home"), say=print),
    ):
        pass


def test_it_can_be_told_whether_something_answers() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert not premises.answers("127.0.0.1", port)
        other.listen()
        assert premises.answers("127.0.0.1", port)
