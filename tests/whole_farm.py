"""A whole farm in a home of its own, with its real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_STOP_S = 60


@dataclass(kw_only=True)
class Farm:
    """A farm's settings, and the ``wheelfarm run`` that serves it."""

    folder: Path
    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def settings_file(self) -> Path:
        return self.folder / "farm.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *arguments: object, module: str = "master.cli") -> list[str]:
        words = ["--settings", str(self.settings_file), *map(str, arguments)]
        return [sys.executable, "-P", "-m", module, *words]

    def call(self, *arguments: object, timeout_s: float = 60, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Call ``wheelfarm``, with *typed* on its standard input, and wait for its end."""
        return subprocess.run(
            self.command(*arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=self.folder,
            input=typed,
        )

    def json(self, *arguments: object) -> Any:
        """What ``wheelfarm`` answers with ``--json``."""
        called = self.call(*arguments)
        assert called.returncode == 0, called.stderr
        return json.loads(called.stdout)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Begin ``wheelfarm run``; its stderr goes to ``run.log``."""
        with (self.folder / "run.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run", *arguments),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
            )
        return self.process

    def wait_until_it_serves(self, *, timeout_s: float = 60) -> None:
        """Return once the index answers."""
        assert self.process is not None
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None and time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if line.startswith("Try it:"):
                return
        pytest.fail("the farm does not serve: " + (self.folder / "run.log").read_text()[-2000:])

    def processes(self) -> dict[int, str]:
        """What runs for this farm, by process id, ``wheelfarm run`` itself left out.

        That is whatever was told where its settings are, or (Redis writes over that) names its folder.
        """
        mark, named = f"WHEELFARM_SETTINGS={self.settings_file}".encode(), str(self.folder).encode()
        own = self.process.pid if self.process is not None else None
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                if mark in (folder / "environ").read_bytes().split(b"\0") or named in command:
                    found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
        found.pop(own or 0, None)
        return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """End ``wheelfarm run`` with a signal; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(_STOP_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code


@contextmanager
def new_farm() -> Iterator[Farm]:
    """A farm that has not run yet; at the end nothing of it runs, and its folder is gone."""
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


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def view_url(farm: Farm) -> str:
    """The index of the farm's first platform."""
    platform = farm.call("settings").stdout.split('platforms = ["')[1].partition('"')[0]
    return f"{farm.url}/{platform.rpartition('-')[0]}/simple/"


def clean_environment(folder: Path) -> Path:
    """A new virtual environment; its interpreter."""
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def run_client(*command: object) -> subprocess.CompletedProcess[str]:
    """Run an installer as a user without a compiler, whose machine has no settings of pip and uv."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "CC", "CXX"))}
    clean |= {"PIP_CONFIG_FILE": os.devnull, "CC": "/bin/false", "CXX": "/bin/false"}
    return subprocess.run(
        [str(word) for word in command], check=False, capture_output=True, text=True, timeout=300, env=clean
    )
