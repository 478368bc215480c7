"""Clients that need an environment of their own: made once, kept from one test run to the next."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.web.conformance.clients import Run, cache, run
from tests.web.server import answers, free_port

_TIMEOUT_S = 600

# What must be older than its newest release: pdm 2.29 breaks with hishel 2.
_HELD_BACK = {"pdm": ("hishel<2",)}


def environment_of(name: str) -> Path:
    """A virtual environment with the newest *name*, looked up anew each week."""
    folder = cache() / f"{name}-{datetime.now(UTC):%G-w%V}-venv3{sys.version_info.minor}"
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f".lock-{name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            wanted = ["--quiet", "--disable-pip-version-check", name, *_HELD_BACK.get(name, ())]
            subprocess.run([folder / "bin/python", "-m", "pip", "install", *wanted], check=True, timeout=_TIMEOUT_S)
            (folder / "complete").touch()
    return folder


def version_of(name: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.check_output([environment_of(name) / "bin/python", "-I", "-c", code], text=True).strip()


@dataclass(frozen=True, kw_only=True)
class Pdm:
    """pdm, working on a project folder with *environment* active."""

    environment: Path

    def install(self, index_url: str, folder: Path, *requirements: str) -> Run:
        """Lock and install those from that index alone."""
        (folder / "pyproject.toml").write_text(
            f"""
[project]
name = "sample"
version = "1.0"
requires-python = ">=3.11"
dependencies = {json.dumps(requirements)}
[tool.pdm]
distribution = false
[[tool.pdm.source]]
name = "pypi"
url = "{index_url}"
verify_ssl = true
"""
        )
        variables = {"VIRTUAL_ENV": str(self.environment), "PDM_CHECK_UPDATE": "0", "PDM_NO_CACHE": "1"}
        return run([environment_of("pdm") / "bin/pdm", "install"], variables, cwd=folder)


@dataclass(frozen=True, kw_only=True)
class Pipenv:
    """pipenv, the same."""

    environment: Path

    def install(self, index_url: str, folder: Path, *requirements: str) -> Run:
        """Lock and install those from that index alone."""
        source = f'[[source]]\nname = "farm"\nurl = "{index_url}"\nverify_ssl = false\n[packages]\n'
        (folder / "Pipfile").write_text(source + "".join(f'{name} = "*"\n' for name in requirements))
        variables = {
            "VIRTUAL_ENV": str(self.environment),
            "PIPENV_VERBOSITY": "-1",
            "PIPENV_CACHE_DIR": str(folder / "cache"),
        }
        return run([environment_of("pipenv") / "bin/pipenv", "install"], variables, cwd=folder)


@contextmanager
def devpi(index_url: str, folder: Path) -> Iterator[str]:
    """devpi-server with a mirror index of *index_url*; yields the mirror's own."""
    programs, state, port = environment_of("devpi-server") / "bin", folder / "state", free_port()
    subprocess.run(
        [programs / "devpi-init", "--serverdir", state, "--root-passwd", "x"], check=True, capture_output=True
    )
    argv: list[str | Path] = [
        programs / "devpi-server",
        "--serverdir",
        state,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with _server(argv, {}, f"http://127.0.0.1:{port}/+api", folder) as api:
        root = api.removesuffix("/+api")
        login = _ask(f"{root}/+login", {"user": "root", "password": "x"}, "POST", {})
        token = base64.b64encode(f"root:{login['result']['password']}".encode()).decode()
        mirror = {"type": "mirror", "mirror_url": index_url, "volatile": True}
        _ask(f"{root}/root/farm", mirror, "PUT", {"X-Devpi-Auth": token})
        yield f"{root}/root/farm/+simple/"


@contextmanager
def proxpi(index_url: str, folder: Path) -> Iterator[str]:
    """proxpi before *index_url*."""
    port = free_port()
    argv: list[str | Path] = [environment_of("proxpi") / "bin/flask", "run", "--host", "127.0.0.1", "--port", str(port)]
    variables = {
        "FLASK_APP": "proxpi.server",
        "PROXPI_INDEX_URL": index_url,
        "PROXPI_CACHE_DIR": str(folder / "cache"),
    }
    with _server(argv, variables, f"http://127.0.0.1:{port}/index/", folder) as url:
        yield url


@contextmanager
def bandersnatch(index_url: str, folder: Path, *names: str) -> Iterator[str]:
    """A mirror of those projects that bandersnatch has made, behind a plain file server."""
    (folder / "conf").write_text(
        f"""
[mirror]
directory = {folder / "mirror"}
master = {index_url.removesuffix("/simple/")}
allow-non-https = true
json = false
timeout = 20
workers = 1
hash-index = false
simple-format = ALL
stop-on-error = true
"""
    )
    done = run([environment_of("bandersnatch") / "bin/bandersnatch", "-c", folder / "conf", "sync", *names], {})
    assert done.exit_code == 0, done.output
    handler = partial(_Quiet, directory=folder / "mirror/web")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple/"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        del format, args


@contextmanager
def _server(argv: Sequence[str | Path], variables: Mapping[str, str], url: str, folder: Path) -> Iterator[str]:
    """Start it, wait until it answers at *url*, and stop it at the end."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, env={**os.environ, **variables}, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{argv[0]} does not answer:\n{(folder / 'log').read_text()}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ask(url: str, data: Mapping[str, object], method: str, headers: Mapping[str, str]) -> dict[str, dict[str, str]]:
    asked = urllib.request.Request(  # noqa: S310 - our own server
        url, data=json.dumps(data).encode(), method=method, headers={"Content-Type": "application/json", **headers}
    )
    with urllib.request.urlopen(asked, timeout=60) as response:  # noqa: S310 - as above
        found: dict[str, dict[str, str]] = json.load(response)
    return found
