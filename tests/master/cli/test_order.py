"""``wheelfarm score`` and ``ranking``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schema.db.session import engine, transaction
from schema.settings import Settings
from tests import rows

Call = Callable[..., Any]


@pytest.fixture
def build(settings: Settings) -> int:
    database = engine(settings.database_url)
    with transaction(database) as session:
        found = rows.build(session, origin="person").id
    database.dispose()
    return found


def test_a_score_is_told_term_by_term(wheelfarm: Call, build: int) -> None:
    called = wheelfarm("score", str(build))

    assert called.code == 0
    assert "asked       +1000.0  a person asked for it" in called.out
    assert called.out.splitlines()[-1].endswith("the build is queued")

    told = wheelfarm("score", str(build), "--json").json
    assert told["score"] == pytest.approx(sum(term["points"] for term in told["terms"]))
    assert (told["build"], told["state"]) == (build, "queued")


@pytest.mark.usefixtures("settings")
def test_a_build_that_is_not_there_has_no_score(wheelfarm: Call) -> None:
    called = wheelfarm("score", "7")

    assert (called.code, called.out) == (2, "")
    assert "there is no build 7" in called.err


def test_an_imported_ranking_shows_in_the_score(wheelfarm: Call, build: int, tmp_path: Path) -> None:
    file = tmp_path / "top.csv"
    file.write_text("demo,999\nother,5\n")

    assert wheelfarm("ranking", str(file)).out == (
        "2 projects in top.csv: 1 changed, 1 not in this farm; 1 open builds have a new score\n"
    )
    assert wheelfarm("ranking", str(file), "--json").json == {"rows": 2, "unknown": 1, "changed": 0, "builds": 0}
    assert "downloads: 999" in wheelfarm("score", str(build)).out


@pytest.mark.usefixtures("settings")
def test_a_faulty_ranking_is_refused_with_its_line(wheelfarm: Call, tmp_path: Path) -> None:
    file = tmp_path / "top.csv"
    file.write_text("demo,999\nother\n")

    called = wheelfarm("ranking", str(file))

    assert (called.code, called.out) == (2, "")
    assert "top.csv: line 2: not of the form name,downloads" in called.err
