"""``wheelfarm run`` where it cannot run: a sentence, an exit code, and nothing started."""

from __future__ import annotations

import re
import socket

import pytest

from tests.whole_farm import Farm


def _refused(farm: Farm, *arguments: object, code: int, match: str) -> None:
    called = farm.call("run", *arguments)

    assert called.returncode == code, called.stderr
    assert re.search(match, called.stderr), called.stderr
    assert "Traceback" not in called.stderr
    assert called.stdout == ""
    assert farm.processes() == {}


def test_a_taken_port_is_named_with_its_setting(farm: Farm) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", farm.port))
        other.listen()

        _refused(farm, code=2, match=rf"web\.port: .*port {farm.port}: Address already in use")


def test_a_redis_that_does_not_answer_ends_with_exit_code_3(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELFARM_REDIS_URL", "redis://:secret@127.0.0.1:1/0")

    _refused(farm, code=3, match=r"Redis at redis://127\.0\.0\.1:1/0 does not answer")


def test_a_database_that_does_not_answer_ends_with_exit_code_3(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEELFARM_DATABASE_URL", "postgresql://farm:secret@127.0.0.1:1/farm")

    _refused(farm, code=3, match="the database does not answer")


def test_a_fault_in_the_list_is_told_before_anything_starts(farm: Farm) -> None:
    file = farm.folder / "faulty.toml"
    file.write_text('project = ["click"]')

    _refused(farm, "--list", file, code=2, match=r"faulty\.toml: project: unknown key")


@pytest.mark.parametrize("command", ["master"])
def test_a_part_that_cannot_reach_redis_ends_with_exit_code_3(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("WHEELFARM_REDIS_URL", "redis://127.0.0.1:1/0")

    called = farm.call(command)

    assert called.returncode == 3
    assert "Redis does not answer" in called.stderr
    assert "Traceback" not in called.stderr
