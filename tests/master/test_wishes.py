from __future__ import annotations

import logging
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, select

from master import requests, wishes
from schema.db.models import Build, Mark, Project, Request
from schema.db.session import transaction
from schema.errors import UsageError
from schema.platforms import Platform
from schema.sections import FarmSection, WatchSection
from schema.settings import Settings
from tests import rows

HERE = Platform.parse(rows.PLATFORM)
LOCK = """lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "click"
version = "8.3.1"
wheels = [{ url = "https://x.example/click-8.3.1-py3-none-any.whl", hashes = { sha256 = "00" } }]
"""


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def read(database: Engine, *files: Path) -> None:
    """As a master that starts does."""
    settings = Settings(farm=FarmSection(platforms=(HERE,)), watch=WatchSection(files=files))
    assert wishes.Files(settings).turn(database)


def wanted(database: Engine) -> set[tuple[str, str, str]]:
    with transaction(database) as session:
        query = select(Project.name, Request.specifier, Request.because).join(Request)
        return {(name, specifier, because) for name, specifier, because in session.execute(query)}


def note(database: Engine) -> str:
    with transaction(database) as session:
        return session.get_one(Mark, wishes.MARK).note


def test_all_three_kinds_of_files_are_read(database: Engine, tmp_path: Path) -> None:
    read(
        database,
        write(tmp_path, "mine.toml", 'projects = ["cffi"]'),
        write(tmp_path, "requirements.txt", "numpy>=2\n"),
        write(tmp_path, "pylock.web.toml", LOCK),
    )

    assert wanted(database) == {
        ("cffi", "", "mine.toml"),
        ("numpy", ">=2", "requirements.txt"),
        ("click", "==8.3.1", "pylock.web.toml"),
    }
    with transaction(database) as session:
        assert set(session.scalars(select(Request.origin))) == {"list"}
        assert wishes.counts(session) == {"mine.toml": 1, "pylock.web.toml": 1, "requirements.txt": 1}


def test_reading_again_changes_nothing(database: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, "requirements.txt", "numpy\nclick\n")
    read(database, file)
    with transaction(database) as session:
        for project in session.scalars(select(Project)):
            project.undecided = False

    read(database, file)

    with transaction(database) as session:
        assert set(session.scalars(select(Project.undecided))) == {False}


def test_what_is_gone_from_its_file_is_no_longer_wanted(database: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, "requirements.txt", "numpy\nclick\n")
    read(database, file)
    with transaction(database) as session:
        numpy = session.scalars(select(Project).where(Project.name == "numpy")).one()
        build = rows.build(session, numpy).id
        requests.add(session, Requirement("click"))

    write(tmp_path, "requirements.txt", "wheel\n")
    read(database, file)

    assert wanted(database) == {("click", "", ""), ("wheel", "", "requirements.txt")}
    with transaction(database) as session:
        found = session.get_one(Build, build)
        told = "nobody asks for it any more: it is gone from requirements.txt"
        assert (found.state, found.reason) == ("unneeded", told)


def test_a_file_that_is_no_longer_named_takes_its_wishes_along_but_not_those_of_other_lists(
    database: Engine, tmp_path: Path
) -> None:
    read(database, write(tmp_path, "a.txt", "numpy\n"), write(tmp_path, "b.txt", "click\n"))
    with transaction(database) as session:
        requests.add(session, Requirement("cffi"), origin="list", because="example.toml")

    read(database, tmp_path / "b.txt")

    assert wanted(database) == {("click", "", "b.txt"), ("cffi", "", "example.toml")}


def test_a_broken_file_is_told_and_what_it_named_stays_wanted(
    database: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, other = write(tmp_path, "pylock.toml", LOCK), write(tmp_path, "b.txt", "numpy\n")
    read(database, file, other)

    write(tmp_path, "pylock.toml", 'lock-version = "9"')
    with caplog.at_level(logging.ERROR):
        read(database, file, other)

    assert ("click", "==8.3.1", "pylock.toml") in wanted(database)
    assert "lock-version '9' is unknown" in note(database)
    assert "what it named before stays wanted" in caplog.text


def test_a_file_that_was_mended_is_told_no_more(database: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, "a.txt", "--index-url x\n")
    read(database, file)
    assert "options of pip" in note(database)

    write(tmp_path, "a.txt", "numpy\n")
    read(database, file)

    assert note(database) == ""


def test_two_files_of_one_name_count_as_one(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    read(database, write(tmp_path, "r.txt", "numpy\n"), write(tmp_path / "other", "r.txt", "click\n"))

    assert {name for name, _, _ in wanted(database)} == {"numpy", "click"}


def test_the_files_are_read_once_a_day_only(database: Engine, tmp_path: Path) -> None:
    settings = Settings(watch=WatchSection(files=(write(tmp_path, "r.txt", "numpy\n"),)))
    files = wishes.Files(settings)

    assert (files.turn(database), files.turn(database)) == (True, False)


def asked(folder: Path, text: str, *more: tuple[str, str]) -> list[str]:
    files = [write(folder, "requirements.txt", text), *(write(folder, name, content) for name, content in more)]
    return [str(item) for item in wishes.on_platform(files, HERE)]


def test_markers_are_evaluated_for_the_platform_not_for_this_machine(tmp_path: Path) -> None:
    arm = Platform.parse("debian11-armv7l-cp39")
    text = """tomli; python_version < "3.11"
cffi; platform_machine == "armv7l"
click; platform_machine == "x86_64" and python_full_version == "3.11.2"
"""

    assert asked(tmp_path, text) == ["click"]
    assert [str(item) for item in wishes.on_platform([tmp_path / "requirements.txt"], arm)] == ["tomli", "cffi"]


def test_what_several_lines_and_files_say_of_a_project_counts_together(tmp_path: Path) -> None:
    found = asked(
        tmp_path,
        "Celery[redis]>=5\n-r more.txt\n",
        ("more.txt", "celery[SQS]<6\nclick\n"),
        ("pylock.web.toml", LOCK),
        ("mine.toml", 'projects = ["cffi"]\nplatforms = ["debian12-aarch64-cp311"]\n'),
    )

    assert found == ["celery[SQS,redis]<6,>=5", "click==8.3.1"]


def test_a_marker_that_cannot_be_evaluated_is_refused_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"requirements\.txt: click: the marker cannot be evaluated: \"x\" in extras"):
        asked(tmp_path, 'click; "x" in extras\n')
