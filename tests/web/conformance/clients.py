"""The real installers, each in a folder of its own outside the checkout, fetched once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PIPS = ("20.3.4", "22.3.1", "23.0.1", "24.0", "newest")
_TIMEOUT_S = 300


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a client ended; output: everything it said."""

    exit_code: int
    output: str


def cache() -> Path:
    """Where fetched clients stay from one test run to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wheelfarm-tests" / "clients"


def fetched(name: str, version: str, *, dependencies: bool) -> Path:
    """A folder with that client as pip's ``--target`` leaves it; ``newest`` is looked up anew each week."""
    label = f"{datetime.now(UTC):%G-w%V}" if version == "newest" else version
    folder = cache() / f"{name}-{label}-py3{sys.version_info.minor}"
    if folder.is_dir():
        return folder
    cache().mkdir(parents=True, exist_ok=True)
    incoming = Path(tempfile.mkdtemp(dir=cache(), prefix=".incoming-"))
    try:
        requirement = name if version == "newest" else f"{name}=={version}"
        how = ["--upgrade", "--quiet", "--disable-pip-version-check", *([] if dependencies else ["--no-deps"])]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *how, "--target", incoming / "client", requirement],
            check=True,
            timeout=_TIMEOUT_S,
        )
        (incoming / "client").replace(folder)
    except OSError:
        if not folder.is_dir():  # else another test process was faster
            raise
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return folder


@dataclass(frozen=True, kw_only=True)
class Pip:
    """pip of one version, installing into *environment*; it reads no configuration of this machine."""

    version: str
    environment: Path

    def install(
        self, index_url: str, *arguments: str, extra_index_url: str = "", constraint: str = "", before: str = ""
    ) -> Run:
        """Install from those indexes only; before: an instant, as ``--uploaded-prior-to`` takes it."""
        options = ["--index-url", index_url, "--disable-pip-version-check", "--no-cache-dir", "--no-input"]
        options += ["--extra-index-url", extra_index_url] if extra_index_url else []
        options += ["--constraint", constraint] if constraint else []
        options += ["--uploaded-prior-to", before] if before else []
        return self._run("install", *options, *arguments)

    def download(self, index_url: str, folder: Path, *arguments: str) -> Run:
        """Fetch wheels into *folder*, and install nothing."""
        options = ["--index-url", index_url, "--disable-pip-version-check", "--no-cache-dir", "--no-input"]
        return self._run("download", *options, "--dest", str(folder), *arguments)

    def _run(self, command: str, *arguments: str) -> Run:
        code = fetched("pip", self.version, dependencies=False)
        variables = {"PYTHONPATH": str(code), "PIP_CONFIG_FILE": os.devnull, "PYTHONNOUSERSITE": "1"}
        return run([self.environment / "bin/python", "-m", "pip", command, *arguments], variables)


@dataclass(frozen=True, kw_only=True)
class Uv:
    """uv of the test environment, installing into *environment*."""

    environment: Path

    def install(
        self, index_url: str, *arguments: str, extra_index_url: str = "", constraint: str = "", before: str = ""
    ) -> Run:
        """Install from those indexes only; the first index that has a project is asked for it, as is uv's default."""
        options = ["--default-index", index_url, "--python", str(self.environment / "bin/python"), "--no-config"]
        options += ["--index", extra_index_url] if extra_index_url else []
        options += ["--constraint", constraint] if constraint else []
        options += ["--exclude-newer", before] if before else []
        variables = {"UV_CACHE_DIR": str(self.environment / "uv-cache"), "UV_PYTHON_DOWNLOADS": "never"}
        uv = Path(sys.executable).with_name("uv")
        return run([uv, "pip", "install", *options, *arguments], variables)


@dataclass(frozen=True, kw_only=True)
class Poetry:
    """poetry, working on a project folder with *environment* active."""

    environment: Path

    def install(self, project: Path) -> Run:
        """Lock and install what the project's ``pyproject.toml`` asks for."""
        home = self.environment / "poetry"
        code = fetched("poetry", "newest", dependencies=True)
        variables = {
            "PYTHONPATH": str(code),
            "VIRTUAL_ENV": str(self.environment),
            "POETRY_CACHE_DIR": str(home / "cache"),
            "POETRY_CONFIG_DIR": str(home / "config"),
            "POETRY_DATA_DIR": str(home / "data"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        lock = run([sys.executable, "-m", "poetry", "lock", "--no-interaction"], variables, cwd=project)
        if lock.exit_code:
            return lock
        argv = [sys.executable, "-m", "poetry", "install", "--no-root", "--no-interaction", "-vv"]
        return run(argv, variables, cwd=project)


def run(argv: Sequence[str | Path], variables: Mapping[str, str], *, cwd: Path | None = None) -> Run:
    """Run a client with nothing of this machine's pip and uv settings in its environment."""
    foreign = ("PIP_", "UV_", "POETRY_", "PDM_", "PIPENV_", "PYTHON", "VIRTUAL_ENV")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            argv,
            env={**inherited, "HOME": home, "XDG_CONFIG_HOME": home, **variables},
            cwd=cwd or home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    return Run(exit_code=done.returncode, output=done.stdout)
