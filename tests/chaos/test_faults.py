from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter

import pytest

from schema.db.models import Build, Wheel
from schema.db.session import transaction
from schema.settings import ImagesSection
from schema.states import BuildState
from tests.chaos.farm import Farm

FAULTS, BUILDS, SEED = 50, 40, 20261121


@pytest.mark.slow
@pytest.mark.usefixtures("image")
def test_fifty_faults_over_forty_builds_lose_none_and_publish_none_twice(database_url: str) -> None:
    """R1, R3, R4: kill -9 of node, master and Redis at any moment, and FLUSHALL."""
    dice = random.Random(SEED)
    done: Counter[str] = Counter()
    projects = [f"tiny{number:02}" for number in range(BUILDS)]
    with Farm(images=ImagesSection().folder, projects=projects, database_url=database_url) as farm:
        for _ in range(FAULTS):
            time.sleep(dice.uniform(0.2, 2.0))
            fault = dice.choice(["node", "node", "master", "master", "redis", "flush"])
            done[fault] += 1
            if fault == "flush":
                farm.flush_redis()
            else:
                farm.kill(fault)
                time.sleep(dice.uniform(0, 0.5))
            farm.tend()

        farm.wait(timeout_s=300)

        ledger = _ledger(farm)
        print(f"faults {dict(done)}; starts {farm.starts}; ledger {ledger}")  # noqa: T201 - the test's report
        assert ledger == {"published": BUILDS, "lost": 0, "published twice": 0, "wrong bytes": 0, "pages wrong": 0}


def _ledger(farm: Farm) -> dict[str, int]:
    """Page, database and store must agree, for each build once."""
    _until_rendered(farm)
    with transaction(farm.database) as session:
        states = Counter(build.state for build in session.query(Build))
        projects = Counter(wheel.project_id for wheel in session.query(Wheel))
        wheels = {wheel.filename: wheel.sha256 for wheel in session.query(Wheel)}
    served = {name: _listed(farm, name) for name in farm.projects}
    files = farm.settings.site / "files"
    return {
        "published": states[BuildState.PUBLISHED],
        "lost": len(farm.projects) - states[BuildState.PUBLISHED],
        "published twice": sum(1 for count in projects.values() if count > 1),
        "wrong bytes": sum(
            1 for name, sha in wheels.items() if hashlib.sha256((files / name).read_bytes()).hexdigest() != sha
        ),
        "pages wrong": sum(
            1
            for name, listed in served.items()
            if listed != {file: sha for file, sha in wheels.items() if file.startswith(f"{name}-")}
        ),
    }


def _listed(farm: Farm, name: str) -> dict[str, str]:
    page = json.loads((farm.settings.site / "simple" / name / "index.json").read_text())
    return {file["filename"]: file["hashes"]["sha256"] for file in page["files"]}


def _until_rendered(farm: Farm) -> None:
    deadline = time.monotonic() + 30
    while not all((farm.settings.site / "simple" / name / "index.json").exists() for name in farm.projects):
        assert time.monotonic() < deadline, farm.logs()
        farm.tend()
        time.sleep(0.1)
