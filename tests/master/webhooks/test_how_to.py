"""The receiver of the how-to, as it stands there, is told by a real master."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from master.keep import alarms
from schema.db.session import engine, transaction
from schema.settings import load

_PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "be-told-by-a-webhook.md"


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    file = tmp_path / "farm.toml"
    file.write_text(
        f'[farm]\nname = "office"\nhome = "{tmp_path}/home"\nplatforms = ["debian12-x86_64-cp311"]\n'
        '[upstream]\nindex_url = "http://127.0.0.1:9/simple/"\n[webhooks]\nprivate_addresses = true\n'
    )
    return file


def _wheelfarm(file: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "master.cli", "--settings", str(file), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


@contextmanager
def _running(argv: list[str], *, said: Path, **environment: str) -> Iterator[None]:
    with said.open("w") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=file, env={**os.environ, **environment})
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for(said: Path, text: str) -> str:
    deadline = time.monotonic() + 120
    while text not in said.read_text():
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.1)
    return said.read_text()


def test_the_receiver_of_the_how_to_hears_of_an_alarm_and_refuses_who_does_not_know_the_secret(
    settings_file: Path, tmp_path: Path, redis_url: str
) -> None:
    [program] = re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) == 15
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = str(probe.getsockname()[1])
    (tmp_path / "receiver.py").write_text(program.replace("8000", port))
    url = f"http://127.0.0.1:{port}/hooks/wheels"
    _wheelfarm(settings_file, "migrate")
    secret = _wheelfarm(settings_file, "webhook", "add", "ci", url)
    said, log = tmp_path / "said", tmp_path / "log"

    with _running([sys.executable, str(tmp_path / "receiver.py")], said=said, WEBHOOK_SECRET=secret):
        _connected(int(port)).close()
        assert _wheelfarm(settings_file, "webhook", "test", "ci").startswith("ci answered 204")
        database = engine(load(settings_file).database_url)
        with transaction(database) as session:
            alarms.settle(session, {"disk-low": "only 1.0 GiB are free"})
        database.dispose()
        master = [sys.executable, "-m", "master.cli", "--settings", str(settings_file), "master"]
        with _running(master, said=log, WHEELFARM_REDIS_URL=redis_url):
            heard = _wait_for(said, "alarm.opened")
        _wheelfarm(settings_file, "webhook", "remove", "ci")
        _wheelfarm(settings_file, "webhook", "add", "ci", url)  # with a secret that the receiver does not know
        other = subprocess.run(
            [sys.executable, "-m", "master.cli", "--settings", str(settings_file), "webhook", "test", "ci"],
            check=False, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    assert re.search(r"^msg_[0-9a-f]{32} ping \{'farm': 'office', 'webhook': 'ci'\}$", heard, re.MULTILINE), heard
    assert "'text': 'only 1.0 GiB are free'" in heard
    assert (other.returncode, "ci answered 401" in other.stdout) == (1, True)
    assert "Traceback" not in log.read_text()


def _connected(port: int) -> socket.socket:
    """Once somebody listens there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
