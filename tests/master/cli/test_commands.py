"""``wheelfarm``: answers on stdout, complaints on stderr, exit codes as the help says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from master.audit import person
from schema.db.models import Build, BuildMaterial
from schema.db.session import engine, transaction
from schema.settings import Settings
from schema.states import BuildState
from tests import rows

Call = Callable[..., Any]


@pytest.fixture
def builds(settings: Settings) -> dict[str, int]:
    """A published, a failed and a running build, by project."""
    database = engine(settings.database_url)
    with transaction(database) as session:
        published = rows.build(session, rows.project(session, "click"), state=BuildState.PUBLISHED)
        rows.wheel(session, published)
        failed = rows.build(
            session, rows.project(session, "broken"), state=BuildState.FAILED, reason="build: \x1b[31mno compiler"
        )
        running = rows.build(session, rows.project(session, "slow"), state=BuildState.LEASED, leased_to="n1")
        for build in (published, failed, running):
            rows.attempt(session, build, outcome="running")
        rows.node(session, "n1")
        found = {build.project.name: build.id for build in (published, failed, running)}
    database.dispose()
    return found


def _log(settings: Settings, build: int, data: bytes, *, fence: int = 1) -> Path:
    file = settings.logs / str(build) / f"{fence}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_where_no_farm_ever_ran_none_is_founded_by_asking(wheelfarm: Call, tmp_path: Path) -> None:
    called = wheelfarm("status")

    assert called.code == 3
    assert f"there is no farm in {tmp_path}/home (wheelfarm run starts one" in called.err
    assert not (tmp_path / "home").exists()


def test_a_database_that_does_not_answer_ends_with_exit_code_3_and_a_sentence(
    wheelfarm: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEELFARM_DATABASE_URL", "postgresql://farm:secret@127.0.0.1:1/farm")

    called = wheelfarm("status")

    assert (called.code, called.out) == (3, "")
    assert called.err.startswith("wheelfarm: the database does not answer")
    assert "secret" not in called.err


def test_a_database_of_another_version_is_not_touched(wheelfarm: Call, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "farm.sqlite").write_bytes(b"")

    called = wheelfarm("status")

    assert called.code == 3
    assert "not of this version of wheelfarm" in called.err


def test_a_fault_in_the_settings_ends_with_exit_code_2(wheelfarm: Call, settings_file: Path) -> None:
    settings_file.write_text("[web]\nprot = 1")

    called = wheelfarm("status")

    assert called.code == 2
    assert called.err.startswith(f"wheelfarm: {settings_file}: web.prot: unknown key")


@pytest.mark.usefixtures("builds")
def test_status_tells_how_the_farm_stands(wheelfarm: Call) -> None:
    called = wheelfarm("status")

    assert called.code == 0
    assert "builds    1 leased, 1 published, 1 failed" in called.out
    assert "wheels    1 (0.0 MiB)" in called.out
    assert "n1    active  1/1" in called.out
    assert wheelfarm("status", "--json").json["builds"] == {"leased": 1, "published": 1, "failed": 1}


@pytest.mark.usefixtures("builds")
def test_builds_are_listed_and_what_they_say_is_harmless(wheelfarm: Call) -> None:
    called = wheelfarm("builds", "--state", "failed")

    assert called.out.splitlines()[0].split() == [
        "BUILD",
        "PROJECT",
        "VERSION",
        "PLATFORM",
        "STATE",
        "CHANGED",
        "(UTC)",
        "WHY",
    ]
    assert called.out.splitlines()[1].endswith("build: ␛[31mno compiler")
    assert len(called.out.splitlines()) == 2
    assert [row["project"] for row in wheelfarm("builds", "--state", "open", "--json").json] == ["slow"]
    assert [row["project"] for row in wheelfarm("builds", "--project", "Click", "--json").json] == ["click"]
    assert wheelfarm("builds", "--platform", "debian12-aarch64-cp311", "--json").json == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["builds", "--state", "lost"],
        ["builds", "--platform", "beos"],
        ["why", "-x-"],
        ["log", "0"],
        ["log", "99"],
        ["retry", "99"],
        ["retry", "click", "broken", "99"],
        ["retry", "99999999999999999999"],
        ["hold", "99"],
        ["hold", "0"],
        ["hold", "click"],
        ["hold"],
        ["release", "broken"],
        ["cancel", "broken"],
        ["priority", "broken", "5"],
        ["priority", "broken", "+1e400"],
        ["priority", "+5"],
        ["audit", "--since", "yesterday"],
        ["rebuild", "click"],
        ["rebuild", "click==one"],
        ["rebuild", "unknown==1.0"],
        ["remove", "unknown"],
        ["request"],
        ["request", "click @ https://example.org/x.whl"],
        ["request", "not a name"],
        ["request", "-r", "/nowhere"],
        ["frobnicate"],
    ],
)
@pytest.mark.usefixtures("builds")
def test_what_cannot_be_asked_for_is_a_usage_error_and_changes_nothing(wheelfarm: Call, arguments: list[str]) -> None:
    before = wheelfarm("builds", "--json").json

    called = wheelfarm(*arguments)

    assert (called.code, called.out) == (2, "")
    assert called.err
    assert wheelfarm("builds", "--json").json == before


@pytest.mark.usefixtures("builds")
def test_why_answers_in_a_sentence_for_each_version_and_platform(wheelfarm: Call) -> None:
    called = wheelfarm("why", "broken")

    assert called.code == 0
    assert called.out.startswith("1.0 debian12-x86_64-cp311: ")
    assert "\x1b" not in called.out
    assert wheelfarm("why", "broken", "--json").json[0]["state"] == "failed"
    assert "wheelfarm request unheard" in wheelfarm("why", "unheard-of").out


def test_the_log_of_a_build_is_shown_with_its_control_characters_made_visible(
    wheelfarm: Call, settings: Settings, builds: dict[str, int]
) -> None:
    _log(settings, builds["broken"], b"one\r\n\x1b]0;pwned\x07two\xff\nthree")

    called = wheelfarm("log", builds["broken"])

    assert (called.code, called.out) == (0, "one\n␛]0;pwned␇two\\udcff\nthree\n")
    assert wheelfarm("log", builds["broken"], "--json").json["log"].startswith("one\r\n\x1b]0")


def test_following_the_log_of_a_finished_build_ends(
    wheelfarm: Call, settings: Settings, builds: dict[str, int]
) -> None:
    _log(settings, builds["click"], "zwei Zeilen\nohne Ende ä".encode())

    called = wheelfarm("log", builds["click"], "--follow")

    assert (called.code, called.out) == (0, "zwei Zeilen\nohne Ende ä\n")
    assert "attempt 1" in called.err


def test_following_the_log_of_a_running_build_shows_what_comes_until_it_ends(
    wheelfarm: Call, settings: Settings, builds: dict[str, int]
) -> None:
    file = _log(settings, builds["slow"], b"first\nhalf a li")

    def go_on() -> None:
        time.sleep(0.8)
        with file.open("ab") as log:
            log.write("ne ä\nlast".encode())
        time.sleep(0.8)
        database = engine(settings.database_url)
        with transaction(database) as session:
            build = session.get_one(Build, builds["slow"])
            build.state, build.leased_to = BuildState.FAILED, None
        database.dispose()

    writer = threading.Thread(target=go_on)
    writer.start()
    called = wheelfarm("log", builds["slow"], "--follow")
    writer.join()

    assert (called.code, called.out) == (0, "first\nhalf a line ä\nlast\n")


def test_a_build_without_a_log_says_so(wheelfarm: Call, settings: Settings) -> None:
    database = engine(settings.database_url)
    with transaction(database) as session:
        build = rows.build(session).id
    database.dispose()

    called = wheelfarm("log", build)

    assert called.code == 2
    assert "has no log yet" in called.err


def test_a_failed_build_is_queued_again(wheelfarm: Call, builds: dict[str, int]) -> None:
    called = wheelfarm("retry", builds["broken"])

    assert called.out == f"build {builds['broken']} of broken 1.0 for debian12-x86_64-cp311 is queued\n"
    assert wheelfarm("builds", "--project", "broken", "--json").json[0]["state"] == "queued"
    assert wheelfarm("retry", builds["broken"]).code == 2


def test_builds_are_held_released_and_moved_forward(wheelfarm: Call, settings: Settings) -> None:
    database = engine(settings.database_url)
    with transaction(database) as session:
        one, two = (rows.build(session, rows.project(session, name)).id for name in ("one", "two"))
    database.dispose()
    where = f"1.0 for {rows.PLATFORM}"

    shown = wheelfarm("hold", one, "two==1.0", "--dry-run")
    assert shown.out == f"build {one} of one {where} would be held\nbuild {two} of two {where} would be held\n"
    assert {row["state"] for row in wheelfarm("builds", "--json").json} == {"queued"}

    assert [row["state"] for row in wheelfarm("hold", one, two, "--reason", "why not", "--json").json] == ["held"] * 2
    assert wheelfarm("release", "one", two).out.count("is queued") == 2
    assert wheelfarm("priority", one, "+12.5").out == f"build {one} of one {where} has +12.5 points by people\n"
    assert wheelfarm("priority", "one", "-2").out.endswith("has +10.5 points by people\n")
    assert wheelfarm("priority", one, two, "0", "--json").json[0]["boost"] == 0


def test_of_several_builds_all_are_steered_or_none(wheelfarm: Call, settings: Settings, builds: dict[str, int]) -> None:
    called = wheelfarm("hold", builds["broken"], builds["click"])

    assert (called.code, called.out) == (2, "")
    assert f"nothing to hold: build {builds['click']} is published" in called.err
    assert wheelfarm("builds", "--project", "broken", "--json").json[0]["state"] == "failed"
    assert wheelfarm("audit", "--json").json == []
    assert settings.farm.platforms


def test_a_running_build_is_cancelled(wheelfarm: Call, builds: dict[str, int]) -> None:
    called = wheelfarm("cancel", "slow", "--reason", "it never ends")

    assert called.out.endswith("is held\n")
    assert "it never ends" in wheelfarm("why", "slow").out
    assert wheelfarm("retry", builds["slow"]).out.endswith("is queued\n")


def test_the_audit_trail_tells_who_did_what(wheelfarm: Call, builds: dict[str, int]) -> None:
    wheelfarm("retry", "broken")
    wheelfarm("node", "drain", "n1", "--reason", "new disk")

    lines = wheelfarm("audit").out.splitlines()
    assert lines[0].split() == ["WHEN", "(UTC)", "WHO", "DID", "TO", "CHANGE", "REASON"]
    assert [line.split()[3] for line in lines[1:]] == ["drain", "retry"]
    (entry,) = wheelfarm("audit", "--subject", f"build {builds['broken']}", "--json").json
    assert (entry["who"], entry["before"]["state"], entry["after"]["state"]) == (person(), "failed", "queued")
    assert wheelfarm("audit", "--since", "2999-01-01", "--json").json == []
    assert len(wheelfarm("audit", "--since", "2020-01-01 00:00", "--json").json) == 2


def test_a_published_release_is_built_again_under_the_next_build_number(
    wheelfarm: Call, builds: dict[str, int]
) -> None:
    (again,) = wheelfarm("rebuild", "click==1.0", "--json").json

    assert again["build"] not in builds.values()
    rebuilt = wheelfarm("builds", "--project", "click", "--state", "queued", "--json").json
    assert [row["build_number"] for row in rebuilt] == [1]


@pytest.mark.usefixtures("builds")
def test_a_removed_release_is_gone_from_the_status(wheelfarm: Call) -> None:
    called = wheelfarm("remove", "click==1.0", "--reason", "it was a mistake")

    assert called.out == "removed click-1.0-py3-none-any.whl\n"
    assert wheelfarm("status", "--json").json["wheels"] == 0
    assert "it was a mistake" in wheelfarm("why", "click").out


def test_projects_are_requested_by_name_and_from_files(wheelfarm: Call, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("MarkupSafe>=2  # a comment\nold; python_version < '3'\n")

    called = wheelfarm("request", "click==8.1.7", "-r", file, "--json")

    assert called.code == 0
    assert wheelfarm("status", "--json").json["unresolved"] == 2
    assert "was requested on" in wheelfarm("why", "markupsafe").out
    assert settings.farm.platforms


def test_what_is_requested_twice_is_there_once(wheelfarm: Call, settings: Settings) -> None:
    wheelfarm("request", "click")
    wheelfarm("request", "Click", "--build", "always")

    assert settings.farm.build == "missing"
    assert wheelfarm("status", "--json").json["unresolved"] == 1


@pytest.mark.usefixtures("builds")
def test_nodes_are_listed(wheelfarm: Call) -> None:
    assert "n1    active  1/1" in wheelfarm("node", "list").out
    assert wheelfarm("node", "list", "--json").json[0]["platforms"] == [rows.PLATFORM]


@pytest.mark.usefixtures("builds")
def test_a_node_is_drained_and_resumed(wheelfarm: Call) -> None:
    assert wheelfarm("node", "drain", "n1", "--reason", "new disk").out == "node n1 is draining\n"
    assert "new disk" in wheelfarm("node", "list").out
    assert wheelfarm("node", "resume", "n1", "--json").json == {"node": "n1", "state": "active", "reason": ""}
    assert wheelfarm("node", "resume", "n9").code == 2


def test_the_settings_in_force_are_shown_without_secrets(
    wheelfarm: Call, settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEELFARM_REDIS_URL", "rediss://farm:secret@redis.example.org:6379/0?health_check_interval=9")
    with settings_file.open("a") as file:
        file.write('\n[upstream]\nindex_url = "https://me:secret@index.example.org/simple/"\n')

    called = wheelfarm("settings")

    assert called.out.startswith(f"# from {settings_file}\n")
    assert 'url = "rediss://redis.example.org:6379/0"' in called.out
    assert 'index_url = "https://index.example.org/simple/"' in called.out
    assert "secret" not in called.out
    assert wheelfarm("settings", "--json").json["settings"]["web"]["port"] == 8181


def test_the_settings_that_are_shown_can_be_read_again(wheelfarm: Call, settings_file: Path) -> None:
    shown = wheelfarm("settings").out

    settings_file.write_text(shown)
    again = wheelfarm("settings")

    assert again.code == 0
    assert again.out == shown


def test_what_was_built_with_an_older_release_is_built_again_because_of_it(
    wheelfarm: Call, settings: Settings, builds: dict[str, int]
) -> None:
    database = engine(settings.database_url)
    with transaction(database) as session:
        rows.build(session, rows.project(session, "numpy"), version="2.0.0", state=BuildState.PUBLISHED)
        session.add(BuildMaterial(build_id=builds["click"], name="numpy", version="1.26.4"))
    database.dispose()
    where = f"of click 1.0 for {rows.PLATFORM}"

    shown = wheelfarm("rebuild", "--because-of", "numpy==2.0.0", "--dry-run")
    done = wheelfarm("rebuild", "--because-of", "numpy==2.0.0", "--json")
    again = wheelfarm("rebuild", "--because-of", "numpy==2.0.0")

    assert shown.out == f"build {builds['click']} {where} would be built again: built against numpy 1.26.4\n"
    assert [(row["project"], row["state"]) for row in done.json] == [("click", "queued")]
    assert again.out == ""
    assert "numpy 2.0.0 was published; built against 1.26.4" in wheelfarm("builds", "--project", "click").out


@pytest.mark.parametrize(
    "words", [(), ("click==1.0", "--because-of", "numpy==2.0.0"), ("click==1.0", "--locally", "1")]
)
def test_a_rebuild_is_of_one_release_because_of_one_or_of_one_build(wheelfarm: Call, words: tuple[str, ...]) -> None:
    wheelfarm("request", "click")

    assert "name a release, or one with --because-of, or a build with --locally" in wheelfarm("rebuild", *words).err


@pytest.mark.parametrize("words", [("--because-of", "numpy==2.0.0"), ("--locally", "1")])
def test_only_a_release_is_built_again_to_compare(wheelfarm: Call, words: tuple[str, ...]) -> None:
    called = wheelfarm("rebuild", *words, "--compare")

    assert (called.code, "which release is to be compared?" in called.err) == (2, True)
