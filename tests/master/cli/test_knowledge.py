"""``wheelfarm recipes``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schema.db.models import RuleCount
from schema.db.session import engine, transaction
from schema.settings import Settings

Call = Callable[..., Any]

FILE = """
[[rule]]
id = "one-job"
why = "its compiler takes 2 GiB"
versions = ">=2"
platforms = ["debian12-*"]
after = ["memory"]
log = "cc1plus"
expires = 2020-01-01
jobs = 1
"""


@pytest.fixture
def folder(settings_file: Path, tmp_path: Path) -> Path:
    """The operator's recipes."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "demo.toml").write_text(FILE)
    settings_file.write_text(f"{settings_file.read_text()}recipes = ['{folder}']\n")
    return folder


@pytest.mark.usefixtures("folder")
def test_a_rule_is_told_with_what_came_of_it(wheelfarm: Call, settings: Settings) -> None:
    database = engine(settings.database_url)
    with transaction(database) as session:
        session.add(RuleCount(id="demo/one-job", uses=4, successes=3, used_at=datetime.now(UTC)))
    database.dispose()

    told = wheelfarm("recipes", "demo")

    assert told.code == 0, told.err
    for part in ("demo/one-job", ">=2 on debian12-*, after memory with 'cc1plus' in the log", " 4 ", " 3 ", "expired"):
        assert part in told.out


@pytest.mark.usefixtures("folder")
def test_scripts_get_every_rule_of_every_project(wheelfarm: Call, settings: Settings) -> None:
    assert settings is not None  # the farm was started once

    rules = {row["id"]: row for row in wheelfarm("recipes", "--json").json}

    assert {"demo/one-job", "cffi/headers", "pynacl/two-jobs"} <= set(rules)
    assert rules["demo/one-job"]["notes"] == ["expired", "unused"]
    assert (rules["cffi/headers"]["uses"], rules["cffi/headers"]["used_at"]) == (0, None)
    assert rules["cffi/headers"]["applies"] == "any version, from the start"


@pytest.mark.usefixtures("settings")
def test_a_project_without_rules_is_told_so(wheelfarm: Call) -> None:
    assert wheelfarm("recipes", "nobody-knows-it").out == "there are no rules\n"


def test_a_faulty_file_is_told_with_what_is_wrong(wheelfarm: Call, settings: Settings, folder: Path) -> None:
    assert settings is not None  # the farm was started once
    (folder / "demo.toml").write_text("jobs = 1\n")

    called = wheelfarm("recipes")

    assert called.code == 2
    assert "demo.toml: jobs: stands outside a rule" in called.err
