"""Source distributions that attack: each ends, leaves nothing behind, and learns nothing (T1 … T8).

A behaviour of ``tests/projects/hostile/`` runs where the build backend does. ``make hostile ROUNDS=6`` has them all
build in a row, more than 200 builds, on one node.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schema.errors import JobError
from schema.sections import HealSection
from tests.builder.pipeline.archives import PROJECTS, file, tar_of
from tests.builder.pipeline.conftest import Attempts

HOSTILE = sorted(path.stem for path in (PROJECTS / "hostile").glob("*.py"))
_PLACES = (Path.home(), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - where a secret might lie
_LIMITS = {"wall_s": 40.0, "silence_s": 15.0, "memory_bytes": 512 * 2**20}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, attempt: Attempts) -> Iterator[str]:
    """A secret in files that everybody on this machine may read, and in the node's environment."""
    secret = f"PLANTED-{secrets.token_hex(16)}"
    monkeypatch.setenv("WHEELFARM_TEST_SECRET", secret)
    files = [folder / f".{secret[:16]}" for folder in (*_PLACES, attempt.workshop.workspace)]
    for path in files:
        path.write_text(secret)
        path.chmod(0o644)
    yield secret
    for path in files:
        path.unlink()


def attack(attempt: Attempts, name: str, secret: str) -> None:
    """Build it; fail unless it ended as a job ends, learned nothing, and left nothing."""
    job = attempt.job("hostile", _sdist(name), limits=_LIMITS)
    wheel = b""
    with contextlib.suppress(JobError), attempt.run(job) as built:
        wheel = built.wheel.read_bytes()
    said = attempt.log + wheel.decode(errors="replace")
    assert secret not in said
    assert secret[::-1] not in said
    assert "REACHED" not in said
    assert "WROTE /usr" not in said
    assert _processes(attempt.workshop.uid) == []
    assert str(attempt.workshop.workspace) not in Path("/proc/self/mountinfo").read_text()
    left = [path.name for path in attempt.workshop.workspace.iterdir()]
    assert [name for name in left if not name.startswith(("pip-cache-", "wheels", ".PLANTED"))] == []
    for folder in _PLACES:
        assert not (folder / "wheelfarm-was-here").exists()


def _sdist(name: str) -> bytes:
    top = "hostile-1.0"
    return tar_of(
        file(f"{top}/PKG-INFO", b"Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n"),
        file(f"{top}/tiny_backend.py", (PROJECTS / "tiny_backend.py").read_bytes()),
        file(f"{top}/pyproject.toml", (PROJECTS / "build-fails" / "pyproject.toml").read_bytes()),
        file(f"{top}/project.json", b'{"name": "hostile", "version": "1.0"}'),
        file(f"{top}/behaviour.py", (PROJECTS / "hostile" / f"{name}.py").read_bytes()),
        file(f"{top}/src/hostile/__init__.py", b""),
    )


def _processes(uid: int | None) -> list[str]:
    """Of the build user, but for dead ones that init has not buried yet; a plain user's cannot be told apart."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if uid is not None and folder.stat().st_uid == uid and state != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


def test_there_are_at_least_thirty_of_them() -> None:
    assert len(HOSTILE) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_sdist_ends_learns_nothing_and_leaves_nothing(attempt: Attempts, planted: str, name: str) -> None:
    attack(attempt, name, planted)


@pytest.mark.slow
def test_a_node_heals_for_a_hostile_sdist_nothing_that_it_should_not(attempt: Attempts, planted: str) -> None:
    attempt.workshop = replace(attempt.workshop, heal=HealSection())

    attack(attempt, "forges_its_end", planted)

    assert "adding Debian packages" not in attempt.log


@pytest.mark.skipif("WHEELFARM_HOSTILE_ROUNDS" not in os.environ, reason="make hostile ROUNDS=6 runs it")
def test_they_build_in_a_row_on_one_node_and_it_is_as_it_was(attempt: Attempts, planted: str) -> None:
    rounds, built = int(os.environ["WHEELFARM_HOSTILE_ROUNDS"]), 0
    for _ in range(rounds):
        for name in HOSTILE:
            attack(attempt, name, planted)
            built += 1
    assert built == rounds * len(HOSTILE)
