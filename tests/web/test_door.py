"""``python -m web``: a clean start, a clean stop, and clear words where it cannot start."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schema.settings import load
from tests.web.server import ROOT, answers, command, free_port, settings_file, started


def _fails(*argv: str) -> tuple[int, str]:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, sent: signal.Signals) -> None:
    with started(settings_file(tmp_path), "--workers", "2") as server:
        assert answers(f"{server.url}/")

        server.process.send_signal(sent)

        assert server.process.wait(20) == 0
        assert not answers(f"{server.url}/")
        log = server.log.read_text(encoding="utf-8")
        assert f"serving {server.url}" in log
        assert "Traceback" not in log


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    file = settings_file(tmp_path)
    with started(file) as server:
        port = server.url.rpartition(":")[2]

        code, text = _fails(*command(file), "--port", port)

        assert code == 2
        assert f"web.port: cannot listen on 127.0.0.1 port {port}: Address already in use" in text
        assert "web.port in farm.toml" in text
        assert "Traceback" not in text
        assert answers(f"{server.url}/")


def test_a_port_taken_by_a_program_that_shares_it_is_taken_too(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()

        code, text = _fails(*command(settings_file(tmp_path)), "--port", str(other.getsockname()[1]))

    assert (code, "Address already in use" in text) == (2, True)


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    argv = [*command(settings_file(tmp_path)), "--port", str(free_port()), "--host", "192.0.2.1"]

    code, text = _fails(*argv)

    assert code == 2
    assert "cannot listen on 192.0.2.1" in text


def test_a_fault_in_the_settings_is_named(tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text("[web]\nprot = 80\n", encoding="utf-8")

    code, text = _fails(*command(file))

    assert code == 2
    assert f"{file}: web.prot: unknown key" in text


def test_the_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    with started(settings_file(tmp_path), "--workers", "2") as server:
        server.process.kill()
        server.process.wait()

        deadline = time.monotonic() + 10
        while answers(f"{server.url}/healthz"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_wheel_comes_whole_through_the_real_server(tmp_path: Path) -> None:
    file = settings_file(tmp_path)
    wheel = load(file).site / "files" / "demo-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(bytes(range(256)) * 40_000)

    def fetch(_: int) -> bytes:
        with urllib.request.urlopen(f"{server.url}/files/{wheel.name}", timeout=30) as response:  # noqa: S310
            return bytes(response.read())

    with started(file) as server, ThreadPoolExecutor(8) as pool:
        assert all(data == wheel.read_bytes() for data in pool.map(fetch, range(16)))
