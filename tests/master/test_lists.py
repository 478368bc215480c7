from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from master import lists
from schema.db.models import Request
from schema.db.session import transaction
from schema.errors import SettingsError
from schema.sections import FarmSection
from schema.settings import Settings
from schema.states import BuildPolicy


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_shipped_list_names_the_projects_that_the_readme_promises() -> None:
    wishes = lists.load(lists.EXAMPLE)

    assert [item.name for item in wishes.projects] == [
        "click",
        "markupsafe",
        "pyyaml",
        "cffi",
        "psycopg2",
        "pycurl",
        "PyNaCl",
        "paramiko",
    ]
    assert (wishes.build, wishes.dependencies, wishes.platforms) == ("always", "missing", ())
    assert lists.read(lists.EXAMPLE) == wishes.projects


def test_a_list_is_requested_once(database: Engine) -> None:
    for _ in range(2):
        with transaction(database) as session:
            lists.request(session, lists.EXAMPLE, settings=Settings())

    with transaction(database) as session:
        found = session.scalars(select(Request).order_by(Request.id)).all()
        assert len(found) == 8
        assert {(item.policy, item.dependencies, item.origin, item.because, item.platform) for item in found} == {
            ("always", "missing", "list", "example.toml", "")
        }


def test_what_a_list_does_not_say_the_farm_says(database: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, 'projects = ["demo>=1,<2"]\nplatforms = ["debian13-x86_64-cp313"]')

    with transaction(database) as session:
        (request,) = lists.request(session, file, settings=Settings(farm=FarmSection(build=BuildPolicy.ALWAYS)))

        assert (request.policy, request.dependencies) == ("always", "always")
        assert (request.specifier, request.platform) == ("<2,>=1", "debian13-x86_64-cp313")


def test_a_marker_of_a_list_counts(database: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, """projects = ['old; python_version < "3"']""")

    with transaction(database) as session:
        assert lists.request(session, file, settings=Settings()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("projects = [", ["not TOML"]),
        ("", ["projects", "at least one"]),
        ("projects = [1]", ["projects", "list of texts"]),
        ('projects = ["no name"]', ["projects", "no name"]),
        ('projects = ["x @ https://x.example/"]', ["projects", "URL"]),
        ('projects = ["x"]\nbuild = "sometimes"', ["build", "'sometimes'", "missing, always"]),
        ('projects = ["x"]\nplatforms = ["here"]', ["platforms", "'here'"]),
        ('project = ["x"]', ["project", "unknown key", "projects"]),
    ],
)
def test_a_faulty_list_names_file_key_and_what_is_allowed(tmp_path: Path, text: str, said: list[str]) -> None:
    file = write(tmp_path, text)

    with pytest.raises(SettingsError) as caught:
        lists.load(file)

    assert all(part in str(caught.value) for part in [str(file), *said])


def test_a_list_that_is_not_there_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        lists.load(tmp_path / "nowhere.toml")
