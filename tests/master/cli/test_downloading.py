"""``wheelfarm downloads`` and ``import-downloads``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from schema.clients import Client
from schema.db import downloads
from schema.db.downloads import Fetched
from schema.db.session import engine, transaction
from schema.settings import Settings
from tests import rows

Call = Callable[..., Any]
WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def farm(settings: Settings) -> Iterator[Engine]:
    made = engine(settings.database_url)
    with transaction(made) as session:
        rows.wheel(session, rows.build(session))
    yield made
    made.dispose()


def fetch(farm: Engine, counts: dict[str, int], *, days_ago: int = 0) -> None:
    day = datetime.now(UTC).date() - timedelta(days=days_ago)
    who = Client("pip", "26.3", "3.11", "debian 12", "x86_64")
    with transaction(farm) as session:
        downloads.add(session, {Fetched(day, name, who): count for name, count in counts.items()})


def test_a_project_is_told_with_its_files_and_installers(wheelfarm: Call, farm: Engine) -> None:
    fetch(farm, {WHEEL: 3, "demo-2.0-py3-none-any.whl": 1})
    fetch(farm, {WHEEL: 5}, days_ago=40)

    called = wheelfarm("downloads", "Demo")

    assert called.code == 0
    assert called.out.startswith("demo: 4 downloads in 30 days\n")
    assert "demo-1.0-py3-none-any.whl  3" in called.out
    assert "debian 12     4" in called.out
    told = wheelfarm("downloads", "demo", "--days", "60", "--json").json
    assert (told["count"], told["pythons"], len(told["days"])) == (9, {"3.11": 9}, 60)
    assert list(told["days"].values())[-1] == 4


def test_many_kinds_are_summed_up(wheelfarm: Call, farm: Engine) -> None:
    fetch(farm, {f"demo-{number}.0-py3-none-any.whl": 20 - number for number in range(10)})

    assert "all others                 23" in wheelfarm("downloads", "demo").out


def test_without_a_project_the_most_downloaded_are_told(wheelfarm: Call, farm: Engine) -> None:
    fetch(farm, {WHEEL: 3, "other-1.0-py3-none-any.whl": 7})

    assert wheelfarm("downloads").out.splitlines()[1:] == ["other    7", "demo     3"]
    assert wheelfarm("downloads", "--json").json == {"other": 7, "demo": 3}


@pytest.mark.usefixtures("settings")
def test_a_project_that_nobody_downloaded_has_none(wheelfarm: Call) -> None:
    assert wheelfarm("downloads", "nothing").out == "nothing: 0 downloads in 30 days\n"
    assert wheelfarm("downloads", "no/name").code == 2


def test_a_log_is_imported_once(wheelfarm: Call, farm: Engine, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    at = f"{datetime.now(UTC):%d/%b/%Y:%H:%M:%S} +0000"
    log.write_text(f'- - - [{at}] "GET /files/{WHEEL} HTTP/1.1" 200 9 "-" "uv/0.13.8"\n')
    del farm

    assert wheelfarm("import-downloads", log).out == f"{log}: 1 new lines, 1 downloads\n"
    assert wheelfarm("import-downloads", log, "--json").json == {str(log): {"lines": 0, "downloads": 0}}
    assert wheelfarm("downloads", "demo", "--json").json["clients"] == {"uv": 1}


def test_the_log_that_was_rotated_last_is_read_first(wheelfarm: Call, farm: Engine, tmp_path: Path) -> None:
    at = datetime.now(UTC) - timedelta(minutes=1)
    logs = [tmp_path / "access.log.1", tmp_path / "access.log"]
    for log in logs:
        at += timedelta(seconds=1)
        log.write_text(f'- - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /files/{WHEEL} HTTP/1.1" 200 9 "-" "uv/0.13.8"\n')
    del farm

    counted = {str(log): {"lines": 1, "downloads": 1} for log in logs}
    called = wheelfarm("import-downloads", logs[1], "--json")
    assert list(called.json.items()) == list(counted.items())
    assert set(wheelfarm("import-downloads", *logs, "--json").json) == set(counted)
    assert wheelfarm("downloads", "demo", "--json").json["clients"] == {"uv": 2}


@pytest.mark.usefixtures("settings")
def test_a_log_that_is_not_there_is_wrong_usage(wheelfarm: Call, tmp_path: Path) -> None:
    called = wheelfarm("import-downloads", tmp_path / "nowhere.log")

    assert (called.code, "does not exist" in called.err) == (2, True)
