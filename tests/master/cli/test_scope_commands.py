from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from master import scope, wishes
from schema.db.models import Demand
from schema.db.session import engine, now, transaction
from schema.settings import Settings, load

Call = Callable[..., Any]

LOCK = """lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "click"
version = "8.3.1"
wheels = [{ url = "https://x.example/click-8.3.1-py3-none-any.whl", hashes = { sha256 = "00" } }]
[[packages]]
name = "mine"
directory = { path = "." }
"""


@pytest.fixture
def watching(settings: Settings, settings_file: Path) -> Settings:
    """Of a farm that wants what is named py…, and what a file of one line names."""
    requirements = settings_file.with_name("r.txt")
    requirements.write_text("numpy\n", encoding="utf-8")
    with settings_file.open("a", encoding="utf-8") as file:
        file.write('[watch]\npatterns = ["py*"]\nfiles = ["r.txt"]\ndemand = true\n')
    assert settings.watch.patterns == ()
    return load(settings_file)


def test_scope_tells_what_the_settings_want_and_how_many_projects_that_is(wheelfarm: Call, watching: Settings) -> None:
    database = engine(watching.database_url)
    with transaction(database) as session:
        scope.adopt(session, ["pyyaml", "pycurl", "other"], settings=watching, now=now(session))
    wishes.Files(watching).turn(database)

    before = wheelfarm("scope").out
    walk = scope.Walk(watching)
    while walk.turn(database):
        pass
    found = wheelfarm("scope", "--json").json
    database.dispose()

    assert "projects  2 by the scope; the settings changed: 0 of 0 projects compared" in before
    assert "list      r.txt: 1 requests" in before
    assert found["scope"] == "the newest release of projects named py*"
    assert (found["projects"], found["settled"], found["lists"], found["demand"]) == (2, True, {"r.txt": 1}, True)


def test_scope_of_a_farm_that_wants_nothing_by_itself(wheelfarm: Call, settings: Settings) -> None:
    assert settings.watch.files == ()

    assert "scope     only what is asked for" in wheelfarm("scope").out


def test_demand_tells_what_clients_asked_for(wheelfarm: Call, settings: Settings) -> None:
    database = engine(settings.database_url)
    with transaction(database) as session:
        session.add(Demand(name="numpy", view="", asks=3, asked_at=now(session)))
    database.dispose()

    (row,) = wheelfarm("demand", "--json").json
    assert (row["name"], row["view"], row["asks"], row["note"]) == ("numpy", "", 3, "not taken yet")
    assert "numpy" in wheelfarm("demand").out


def test_a_lock_file_can_be_requested(wheelfarm: Call, settings: Settings, tmp_path: Path) -> None:
    assert settings.watch.files == ()
    file = tmp_path / "pylock.toml"
    file.write_text(LOCK, encoding="utf-8")

    called = wheelfarm("request", "-r", file)

    assert (called.code, "requested click==8.3.1" in called.out) == (0, True)


def test_another_tools_lock_file_is_refused_with_what_to_do(
    wheelfarm: Call, settings: Settings, tmp_path: Path
) -> None:
    assert settings.watch.files == ()
    file = tmp_path / "uv.lock"
    file.write_text("version = 1\n", encoding="utf-8")

    called = wheelfarm("request", "-r", file)

    assert called.code == 2
    assert "run: uv export --format pylock.toml -o pylock.toml" in called.err
