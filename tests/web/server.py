"""The front-end as it really runs: ``python -m web``, granian, on a free port of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A front-end that answers at *url*; its log goes to *log*."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings_file(home: Path) -> Path:
    """A farm for two platforms below *home*."""
    home.mkdir(exist_ok=True)
    file = home / "farm.toml"
    platforms = '["debian12-x86_64-cp311", "debian12-aarch64-cp311"]'
    file.write_text(f'[farm]\nhome = "var"\nplatforms = {platforms}\n', encoding="utf-8")
    return file


@contextmanager
def started(file: Path, *options: str) -> Iterator[Server]:
    """Start it, wait until it answers, and stop it at the end, however that comes."""
    port = free_port()
    log = file.with_name("web.log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command(file), "--port", str(port), *options], cwd=ROOT, stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(process, url, log)
        yield Server(process=process, url=url, log=log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def command(file: Path) -> Sequence[str]:
    return [sys.executable, "-m", "web", "--settings", str(file), "--host", "127.0.0.1"]


def answers(url: str) -> bool:
    """Whether somebody answers there, well or badly."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
            return True
    except urllib.error.HTTPError as err:
        err.close()
        return True
    except OSError:
        return False


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not answers(f"{url}/healthz"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the front-end does not answer:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.1)
