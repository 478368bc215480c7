"""A command that has ended before anybody looks."""

from __future__ import annotations

import time

import pytest

from builder import cell
from tests.builder.sandbox.conftest import Box


def test_a_command_that_ends_before_its_start_was_noticed_is_known_by_its_exit_code(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = cell._first_pid

    def notice_late(status: int) -> tuple[int, bytes]:
        time.sleep(1)
        return notice(status)

    monkeypatch.setattr(cell, "_first_pid", notice_late)

    assert box.run("sh", "-c", "echo said; exit 7").exit_code == 7
    assert box.said() == "said\n"
