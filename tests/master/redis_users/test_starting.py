"""Master and node, as processes, at a Redis that they must not trust, or that does not want them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from master.enrol import enrol_local
from schema.db.session import engine
from schema.settings import load
from tests.redis_server import Authority, Server

_PASSWORD = "known-to-nobody"  # noqa: S105 - it is none

_PROCESSES = {"master": ("master.cli", "master"), "node": ("builder.cli", "run")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, and what is said of it."""

    said: str
    names: tuple[str, ...] = ()
    ends: timedelta = timedelta(days=1)
    other_authority: bool = False


_FAULTS = {
    "a wrong authority": Fault(said="is not from an authority that is trusted here", other_authority=True),
    "a certificate that ran out": Fault(said="the certificate of Redis has run out", ends=timedelta(hours=-1)),
    "another host's certificate": Fault(said="is for another name", names=("elsewhere.example.org",)),
    "a wrong password, or a removed user": Fault(said="refuses the user or the password of redis.url"),
}


@pytest.fixture
def settings_file(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """Of a farm whose own node is enrolled."""
    file = tmp_path / "farm.toml"
    file.write_text('[farm]\nhome = "home"\n')
    (tmp_path / "home").mkdir()
    settings = load(file)
    shutil.copyfile(migrated_sqlite, tmp_path / "home" / "farm.sqlite")
    database = engine(settings.database_url)
    enrol_local(database, settings)
    database.dispose()
    return file


@pytest.fixture
def start(settings_file: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    def started(process: str) -> subprocess.CompletedProcess[str]:
        module, *words = _PROCESSES[process]
        command = [sys.executable, "-m", module, "--settings", str(settings_file), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return started


@pytest.mark.slow
@pytest.mark.parametrize("process", _PROCESSES)
@pytest.mark.parametrize("fault", _FAULTS.values(), ids=_FAULTS)
def test_a_process_that_redis_refuses_ends_with_one_sentence(
    servers: Path,
    settings_file: Path,
    start: Callable[[str], subprocess.CompletedProcess[str]],
    process: str,
    fault: Fault,
) -> None:
    folder = Path(tempfile.mkdtemp(dir=servers))
    authority = Authority(folder)
    trusted = Authority(folder, "another") if fault.other_authority else authority
    held = authority.issue(*fault.names, ends=datetime.now(UTC) + fault.ends)
    with Server(
        program=Path(shutil.which("redis-server") or ""), folder=folder, authority=authority, held=held
    ) as redis:
        url = redis.url("master" if process == "master" else "node.local", _PASSWORD)
        with settings_file.open("a") as file:
            file.write(f'[redis]\nurl = "{url}"\nca = "{trusted.file}"\n')

        ended = start(process)

    assert ended.returncode == 3, ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("wheelfarm")
    assert fault.said in last
    assert "Traceback" not in ended.stderr
    assert _PASSWORD not in ended.stdout + ended.stderr


def test_a_node_is_not_started_with_the_url_of_another(
    settings_file: Path, start: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    with settings_file.open("a") as file:
        file.write(f'[redis]\nurl = "rediss://node.other:{_PASSWORD}@localhost/0"\n')

    ended = start("node")

    assert ended.returncode == 2
    assert "redis.url is for the user node.other, but this is node local" in ended.stderr
    assert _PASSWORD not in ended.stderr
