"""``wheelfarm coverage`` and ``lock``."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schema.db.models import Project
from schema.db.session import engine, transaction
from schema.settings import Settings
from tests import entries, locking
from tests.entries import HERE
from tests.locking import Shop

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


def test_an_older_version_with_a_wheel_is_told_beside_the_reason(
    wheelfarm: Call, farm: Settings, tmp_path: Path
) -> None:
    database = engine(farm.database_url)
    with transaction(database) as session:
        lxml = session.query(Project).filter_by(name="lxml").one()
        entries.sdist(session, lxml, "0.9", filename="lxml-0.9-py3-none-any.whl", kind="wheel")
    database.dispose()

    called = wheelfarm("coverage", "-r", requirements(tmp_path, "lxml"))

    assert called.code == 1
    assert called.out.splitlines()[1].endswith(" tries again. 0.9 has a wheel.")


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


@pytest.fixture
def shop(settings: Settings, settings_file: Path, tmp_path: Path) -> Iterator[Shop]:
    """A farm with app, which needs the upstream's lib."""
    database = engine(settings.database_url)
    with locking.opened(settings, database, tmp_path) as made:
        with settings_file.open("a", encoding="utf-8") as file:
            file.write(f'[upstream]\nindex_url = "{made.upstream.url}"\n')
        made.own("app", requires=["lib"])
        made.theirs("lib")
        yield made
    database.dispose()


def test_a_lock_goes_to_standard_output_and_what_was_done_beside_it(
    wheelfarm: Call, shop: Shop, tmp_path: Path
) -> None:
    shop.fails("app", "2.0", reason="build: no gcc")

    called = wheelfarm("lock", "-r", requirements(tmp_path, "app[x]"), "--platform", HERE)

    assert called.code == 0, called.err
    assert called.out.splitlines()[1:6] == [
        "# pip install -r FILE",
        "# uv pip install --index-strategy unsafe-best-match -r FILE",
        f"--index-url {shop.upstream.url}",
        f"--extra-index-url {shop.settings.public_url}/debian12-x86_64/simple/",
        "--only-binary :all:",
    ]
    assert "app[x]==1.0 \\\n    --hash=sha256:" in called.out
    assert called.err.splitlines() == [
        "app 1.0 instead of 2.0, which is failed: build: no gcc",
        "2 wheels: 1 of the farm, 1 of the upstream",
    ]


@pytest.mark.usefixtures("shop")
def test_a_lock_file_is_written_and_can_be_read_again(wheelfarm: Call, tmp_path: Path) -> None:
    file = tmp_path / "pylock.web.toml"

    called = wheelfarm("lock", "-r", requirements(tmp_path, "app"), "--format", "pylock", "-o", file)

    assert (called.code, called.out) == (0, ""), called.err
    packages = tomllib.loads(file.read_text())["packages"]
    assert [(item["name"], item["version"]) for item in packages] == [("app", "1.0"), ("lib", "1.0")]
    again = wheelfarm("lock", "-r", file, "--format", "pylock")
    assert again.out == file.read_text()


@pytest.mark.usefixtures("shop")
def test_where_a_wheel_is_missing_nothing_is_written(wheelfarm: Call, tmp_path: Path) -> None:
    file = tmp_path / "locked.txt"
    file.write_text("as before")

    called = wheelfarm("lock", "-r", requirements(tmp_path, "app\nunheard-of"), "-o", file)

    assert (called.code, called.out, file.read_text()) == (1, "", "as before")
    assert called.err.splitlines() == [
        f"wheelfarm: 1 of the projects to be installed has no wheel for {HERE}:",
        "unheard-of: The upstream index has no project unheard-of: is the name spelt right?",
    ]


@pytest.mark.usefixtures("shop")
def test_an_upstream_that_does_not_answer_is_told(wheelfarm: Call, tmp_path: Path) -> None:
    called = wheelfarm("lock", "-r", requirements(tmp_path, "app"), "--index-url", "http://127.0.0.1:9/simple/")

    assert (called.code, called.out) == (1, "")
    assert "http://127.0.0.1:9/simple/app/" in called.err


def test_another_index_is_read_and_named_without_its_password(wheelfarm: Call, shop: Shop, tmp_path: Path) -> None:
    secret = shop.upstream.url.replace("http://", "http://ada:secret@")

    called = wheelfarm("lock", "-r", requirements(tmp_path, "app"), "--index-url", secret)

    assert called.code == 0, called.err
    assert f"--index-url {shop.upstream.url}\n" in called.out
    assert "secret" not in called.out + called.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "pylock", "-o", "locked.toml"], "it takes a name such as pylock.toml or pylock.web.toml"),
        (["-o", "pylock.toml"], "it takes --format pylock"),
        (["--index-url", "file:///srv/index"], "not an http or https URL"),
        (["--index-url", "http://127.0.0.1:9/simple/ --pre"], "not an http or https URL"),
        (["--index-url", "http://127.0.0.1:9/simple/\n--pre"], "not an http or https URL"),
        (["--platform", "debian13-riscv64-cp313"], "does not build for debian13-riscv64-cp313"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_cannot_be_is_refused_before_anything_is_read(
    wheelfarm: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)

    called = wheelfarm("lock", "-r", requirements(tmp_path, "app"), *arguments)

    assert (called.code, called.out) == (2, "")
    assert said in called.err


@pytest.mark.usefixtures("shop")
def test_a_place_that_cannot_be_written_is_told(wheelfarm: Call, tmp_path: Path) -> None:
    file = requirements(tmp_path, "app")

    called = wheelfarm("lock", "-r", file, "-o", file / "locked.txt")

    assert called.code == 2
    assert "locked.txt: cannot be written: " in called.err
