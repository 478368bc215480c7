"""``wheelfarm coverage``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schema.db.session import engine, transaction
from schema.settings import Settings
from tests import entries
from tests.entries import HERE

Call = Callable[..., Any]


@pytest.fixture
def farm(settings: Settings) -> Settings:
    """A farm that has cffi, knows upstream's click, builds numpy and cannot build lxml."""
    database = engine(settings.database_url)
    with transaction(database) as session:
        for name, state in (("cffi", "published"), ("numpy", "queued"), ("lxml", "failed")):
            project = entries.project(session, name)
            entries.request(session, project)
            sdist = entries.sdist(session, project, "1.0")
            build = entries.build(session, project, "1.0", state=state, sdist_id=sdist.id, reason="build: no libxml2")
            if state == "published":
                entries.wheel(session, build, f"{name}-1.0-py3-none-any.whl")
        click = entries.project(session, "click")
        entries.sdist(session, click, "8.0", filename="click-8.0-py3-none-any.whl", kind="wheel")
    database.dispose()
    return settings


def requirements(folder: Path, text: str) -> Path:
    file = folder / "requirements.txt"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.usefixtures("farm")
def test_each_requirement_is_told_and_the_last_line_sums_up(wheelfarm: Call, tmp_path: Path) -> None:
    file = requirements(tmp_path, 'cffi[x]\nClick>=8\nnumpy\nlxml\nunheard-of\ntomli; python_version < "3.11"\n')

    called = wheelfarm("coverage", "-r", file, "--platform", HERE)

    assert called.code == 1, called.err
    head, *lines = called.out.splitlines()
    assert head.split()[:3] == ["REQUIREMENT", "VERSION", "STATUS"]
    assert [line.split()[:3] for line in lines[:5]] == [
        ["cffi[x]", "1.0", "have"],
        ["click>=8", "8.0", "upstream"],
        ["numpy", "1.0", "queued"],
        ["lxml", "1.0", "cannot"],
        ["unheard-of", "-", "not-watched"],
    ]
    assert "cffi-1.0-py3-none-any.whl" in lines[0]
    assert f"`wheelfarm request unheard-of --platform {HERE}` does." in lines[4]
    assert lines[5:] == ["", "2 of 5 covered: 1 have, 1 upstream; 1 queued, 1 cannot, 1 not-watched"]


@pytest.mark.usefixtures("farm")
def test_the_sentence_is_the_one_that_why_gives(wheelfarm: Call, tmp_path: Path) -> None:
    (row,) = wheelfarm("coverage", "-r", requirements(tmp_path, "lxml"), "--json").json["requirements"]

    assert row["sentence"] in wheelfarm("why", "lxml").out
    assert (row["status"], row["reason"], row["version"]) == ("cannot", "failed", "1.0")


@pytest.mark.parametrize(
    ("text", "code"), [("cffi\nclick\nnumpy", 0), ("", 0), ("cffi\nlxml", 1), ("unheard-of", 1), ("cffi==99", 1)]
)
@pytest.mark.usefixtures("farm")
def test_scripts_learn_from_the_exit_code_whether_a_person_must_act(
    wheelfarm: Call, tmp_path: Path, text: str, code: int
) -> None:
    called = wheelfarm("coverage", "-r", requirements(tmp_path, text), "--json")

    assert called.code == code, called.err
    assert called.json["platform"] == HERE  # the farm's only one


@pytest.mark.usefixtures("farm")
def test_a_lock_file_is_read_too(wheelfarm: Call, tmp_path: Path) -> None:
    file = tmp_path / "pylock.toml"
    file.write_text('lock-version = "1.0"\ncreated-by = "a test"\n[[packages]]\nname = "click"\nversion = "8.0"\n'
                    '[[packages.wheels]]\nname = "click-8.0-py3-none-any.whl"\nurl = "https://x.example/c.whl"\n'
                    'hashes = { sha256 = "00" }\n')  # fmt: skip

    called = wheelfarm("coverage", "-r", file)

    assert (called.code, "click==8.0" in called.out) == (0, True), called.err


@pytest.mark.usefixtures("farm")
def test_another_platform_than_the_farms_is_refused(wheelfarm: Call, tmp_path: Path) -> None:
    called = wheelfarm("coverage", "-r", requirements(tmp_path, "cffi"), "--platform", "debian13-riscv64-cp313")

    assert called.code == 2
    assert f"does not build for debian13-riscv64-cp313 (--platform takes one of farm.platforms: {HERE})" in called.err


@pytest.mark.usefixtures("farm")
def test_where_the_farm_has_several_platforms_one_must_be_named(
    wheelfarm: Call, settings_file: Path, tmp_path: Path
) -> None:
    both = f'platforms = ["{HERE}", "{entries.ARM}"]'
    settings_file.write_text(settings_file.read_text().replace(f'platforms = ["{HERE}"]', both))

    called = wheelfarm("coverage", "-r", requirements(tmp_path, "cffi"))

    assert called.code == 2
    assert f"for which platform? (--platform takes one of farm.platforms: {HERE}, {entries.ARM})" in called.err


@pytest.mark.parametrize("line", ["-c constraints.txt", "cffi==1.0 --hash=sha256:00", "-r ../outside.txt"])
@pytest.mark.usefixtures("farm")
def test_what_cannot_be_read_is_told_with_its_line(wheelfarm: Call, tmp_path: Path, line: str) -> None:
    called = wheelfarm("coverage", "-r", requirements(tmp_path, f"cffi\n{line}\n"))

    assert (called.code, called.out) == (2, "")
    assert "requirements.txt, line 2: " in called.err
