"""A whole farm as real processes, for tests that hurt it: Redis, master, node and an upstream of tiny projects."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Self

import redis
from sqlalchemy import Engine, func, select

from master.enrol import enrol_local
from schema.db import migrate
from schema.db.models import Build, Wheel
from schema.db.session import engine, transaction
from schema.settings import Settings, load
from schema.states import OPEN_STATES
from tests.upstream import FakeUpstream

# A backend of its own, so that a build needs nothing but the interpreter: about a second from sdist to wheel.
BACKEND = """
import base64, hashlib, os, zipfile
NAME, VERSION = {name!r}, "1.0"
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    files = {{
        f"{{NAME}}.py": "here = True\\n",
        f"{{info}}/METADATA": f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n",
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: tiny\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    lines = []
    filename = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w") as archive:
        for path, text in files.items():
            data = text.encode()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{{path}},sha256={{digest}},{{len(data)}}")
            archive.writestr(path, data)
        archive.writestr(f"{{info}}/RECORD", "\\n".join([*lines, f"{{info}}/RECORD,,", ""]))
    return filename
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "tiny"
backend-path = ["."]
"""


def tiny_sdist(name: str) -> bytes:
    """An sdist that builds in a moment."""
    members = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "pyproject.toml": PYPROJECT,
        "tiny.py": BACKEND.format(name=name),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in members.items():
            info = tarfile.TarInfo(f"{name}-1.0/{path}")
            info.size = len(text.encode())
            info.mtime = 1_700_000_000
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


class Farm:
    """Redis, master and node below one folder; each can be killed and comes back with ``tend``."""

    def __init__(self, *, images: Path, projects: list[str], database_url: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wf-chaos-"))
        self.folder.chmod(0o755)
        self.upstream = FakeUpstream()
        self.projects = projects
        self._images, self._database_url = images, database_url
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.starts: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.upstream.__enter__()
        for name in self.projects:
            self.upstream.add_file(name, tiny_sdist(name), filename=f"{name}-1.0.tar.gz")
        self.settings_file = self.folder / "farm.toml"
        self.settings_file.write_text(self._settings())
        self.settings: Settings = load(self.settings_file)
        self.database: Engine = engine(self.settings.database_url)
        migrate.upgrade(self.database)
        enrol_local(self.database, self.settings)
        self.prepare()
        self.tend()
        self.command("request", "--build", "always", *self.projects)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.database.dispose()
        self.upstream.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _settings(self) -> str:
        database = f'url = "{self._database_url}"' if self._database_url else ""
        return f"""
[farm]
home = "home"
[upstream]
index_url = "{self.upstream.url}"
[watch]
cooldown_s = 0
[database]
{database}
[node]
slots = 2
workspace = "work"
[images]
folder = "{self._images}"
[timing]
lease_s = 6.0
heartbeat_s = 0.5
tick_s = 0.1
lost_message_s = 3.0
retry_s = 1.0
"""

    def command(self, *words: str) -> str:
        """Run one ``wheelfarm`` command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "master.cli", "--settings", str(self.settings_file), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def prepare(self) -> None:
        """What has to be done once, before anything starts."""

    def argvs(self) -> dict[str, list[str]]:
        """The command of each process."""
        socket = self.settings.redis_socket
        socket.parent.mkdir(parents=True, exist_ok=True)
        program = shutil.which("redis-server") or shutil.which("valkey-server") or "redis-server"
        return {
            "redis": [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(socket.parent)],
            "master": [sys.executable, "-m", "master.cli", "--settings", str(self.settings_file), "master"],
            "node": [sys.executable, "-m", "builder.cli", "--settings", str(self.settings_file), "run"],
        }

    def tend(self) -> None:
        """Start what is not running."""
        for name, argv in self.argvs().items():
            process = self._processes.get(name)
            if process is None or process.poll() is not None:
                with (self.folder / f"{name}.log").open("ab") as log:
                    self._processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
                self.starts[name] = self.starts.get(name, 0) + 1

    def kill(self, name: str) -> None:
        """SIGKILL: no chance to tidy up."""
        process = self._processes[name]
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()

    def flush_redis(self) -> None:
        """Lose every message that is under way."""
        client = redis.Redis(unix_socket_path=str(self.settings.redis_socket))
        try:
            client.flushall()
        except redis.ConnectionError:
            pass  # it is being restarted: nothing to lose
        finally:
            client.close()

    def open_builds(self) -> int:
        """How many builds still have something before them, those not made yet included."""
        with transaction(self.database) as session:
            ended = session.scalar(select(func.count()).select_from(Build).where(Build.state.not_in(OPEN_STATES)))
            return len(self.projects) - (ended or 0)

    def states(self) -> dict[str, int]:
        """How many builds are in each state."""
        with transaction(self.database) as session:
            return dict(session.execute(select(Build.state, func.count()).group_by(Build.state)).all())

    def wheels(self) -> dict[str, str]:
        """File name → sha256 of what is published."""
        with transaction(self.database) as session:
            return dict(session.execute(select(Wheel.filename, Wheel.sha256)).all())

    def wait(self, *, timeout_s: float) -> None:
        """Until nothing is open; fail with the logs' ends after *timeout_s* seconds."""
        deadline = time.monotonic() + timeout_s
        while self.open_builds():
            assert time.monotonic() < deadline, f"still open after {timeout_s} s: {self.states()}\n{self.logs()}"
            self.tend()
            time.sleep(0.2)

    def logs(self) -> str:
        """The end of each process's log."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))
