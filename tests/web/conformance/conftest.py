"""The real front-end over a rendered site, without a database, and the clients that read it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import sample_site
from tests.web.conformance.recorder import Recorder

_SETTINGS = """
[farm]
home = "{home}"
[web]
port = {port}
[database]
url = "postgresql://nobody@127.0.0.1:1/nowhere"  # no page of the index may need it (I-28, R13)
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, exactly; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Server:
    """The front-end; site: the folder it serves."""

    port: int
    site: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask for *path* as it stands, with no header but those given (``if_none_match=…``)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=found, body=response.read())
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("farm")
    port = _free_port()
    site = sample_site.make(home, f"http://127.0.0.1:{port}")
    settings = home / "farm.toml"
    settings.write_text(_SETTINGS.format(home=home, port=port))
    with (home / "web.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "web", "--settings", settings], stdout=log, stderr=log)
    made = Server(port=port, site=site)
    try:
        _wait_until_it_answers(made, process, home / "web.log")
        yield made
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_it_answers(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            server.get("/simple/")
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the front-end did not start:\n{log.read_text()}")


@pytest.fixture
def recorder(server: Server) -> Iterator[Recorder]:
    """A way to the server that writes down what a client asks for."""
    with Recorder(server.port) as made:
        yield made


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A fresh virtual environment, without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv"


@pytest.fixture
def installed(environment: Path) -> Callable[[str], str | None]:
    """The version of a project that the environment has; None if it has none. Its module says it too."""

    def version(name: str) -> str | None:
        code = (
            "import importlib, importlib.metadata as metadata, sys\n"
            "try: found = metadata.version(sys.argv[1])\n"
            "except metadata.PackageNotFoundError: sys.exit()\n"
            "assert importlib.import_module(sys.argv[1].replace('.', '_')).VERSION == found\n"
            "print(found)"
        )
        # -B: bytecode of a version installed within the same second would pass for the next one's.
        argv: list[str | Path] = [environment / "bin/python", "-I", "-B", "-c", code, name]
        run = subprocess.run(argv, check=True, capture_output=True, text=True)
        return run.stdout.strip() or None

    return version
