"""A real farm whose master and node reach Redis over TLS, each as its own user."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from schema.db.models import Attempt
from schema.db.session import transaction
from schema.redis_url import password_of
from schema.sections import ImagesSection
from tests.chaos import sdists
from tests.chaos.farm import Farm
from tests.redis_server import Server

_PATIENCE_S = 120.0


class TlsFarm(Farm):
    """The node has settings of its own, as if it were elsewhere."""

    def __init__(self, redis: Server, **options: Any) -> None:
        super().__init__(images=ImagesSection().folder, **options)
        self.redis = redis
        (self.folder / "admin-url").write_text(redis.url("admin", redis.password))
        (self.folder / "redis-url").write_text(f"rediss://localhost:{redis.port}/0")
        self.node_settings_file = self.folder / "node.toml"

    def prepare(self) -> None:
        self.passwords = [self.redis.password, self._grant("redis-url", "grant-master")]
        self.passwords.append(self._grant("node-url", "grant", "local"))
        own = self._settings().replace("redis-url", "node-url").replace("admin_url_file", "# admin_url_file")
        self.node_settings_file.write_text(own)

    def argvs(self) -> dict[str, list[str]]:
        argvs = super().argvs()
        del argvs["redis"]
        argvs["node"][-2] = str(self.node_settings_file)
        return argvs

    def say(self) -> str:
        """Everything that the processes have said."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def _settings(self) -> str:
        return f"""{super()._settings()}
[redis]
url_file = "redis-url"
ca = "{self.redis.authority.file}"
admin_url_file = "admin-url"
"""

    def _grant(self, file: str, *words: str) -> str:
        url: str = json.loads(self.command("redis", *words, "--json"))["url"]
        (self.folder / file).write_text(url)
        return password_of(url)


def _wait(farm: Farm, what: str, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {_PATIENCE_S} s: {what}\n{farm.logs()}"
        time.sleep(0.1)


def _build(farm: Farm, name: str, *, sleep_s: float = 0.0) -> None:
    farm.upstream.add_file(name, sdists.tiny(name, sleep_s=sleep_s), filename=f"{name}-1.0.tar.gz")
    farm.command("request", "--build", "always", name)


def _step(farm: Farm) -> str:
    with transaction(farm.database) as session:
        steps = session.scalars(select(Attempt.steps).order_by(Attempt.id.desc()).limit(1)).first()
    return steps[-1]["name"] if steps else ""


def _node_ends(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "builder.cli", "--settings", str(file), "run"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_a_node_lives_as_its_own_user_and_is_refused_nothing_until_it_is_revoked(tls_redis: Server) -> None:
    with TlsFarm(tls_redis, projects=["first"]) as farm:
        farm.wait(timeout_s=_PATIENCE_S)
        _wait(farm, "the node has forgotten", lambda: not list(farm.settings.outbox.glob("*-*")))

        _build(farm, "sleeper", sleep_s=3600)
        _wait(farm, "the build runs", lambda: _step(farm) == "build")
        farm.command("cancel", "sleeper")
        _wait(farm, "the node has stopped", lambda: ": cancelled" in (farm.folder / "node.log").read_text())
        refused = tls_redis.refused()

        tls_redis.stop()  # both are connected, and in the middle of BRPOP
        time.sleep(3)
        tls_redis.start()
        _build(farm, "later")
        _wait(farm, "a build after Redis came back", lambda: "later-1.0-py3-none-any.whl" in farm.wheels())

        farm.kill("node")
        farm.kill("master")
        farm.tend()
        _build(farm, "last")
        _wait(farm, "a build after a restart", lambda: "last-1.0-py3-none-any.whl" in farm.wheels())

        assert [*refused, *tls_redis.refused()] == []

        farm.command("redis", "revoke", "local")
        said = "refuses the user or the password of redis.url"
        _wait(farm, "the node says that it is refused", lambda: said in (farm.folder / "node.log").read_text())
        ended = _node_ends(farm.node_settings_file)

        assert ended.returncode == 3
        assert ended.stderr.strip().splitlines()[-1].startswith(f"wheelfarm-node: Redis {said}")
        assert "Traceback" not in farm.say() + ended.stderr
        assert [word for word in farm.passwords if word in farm.say() + ended.stderr + ended.stdout] == []
