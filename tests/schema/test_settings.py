"""Faults in the settings file: each is named with file, key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from schema.errors import SettingsError
from schema.platforms import Platform
from schema.settings import Settings, find, load
from schema.states import BuildPolicy, Bundle


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WHEELFARM_SETTINGS", "WHEELFARM_REDIS_URL", "WHEELFARM_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def _farm(folder: Path, text: str) -> Path:
    file = folder / "farm.toml"
    file.write_text(text)
    return file


def test_without_a_file_the_defaults_hold() -> None:
    settings = load()

    assert settings.web.port == 8181
    assert settings.farm.build is BuildPolicy.MISSING
    assert [item.distribution.name for item in settings.farm.platforms] == ["debian12"]


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    file = _farm(
        tmp_path,
        """
        [farm]
        name = "office"
        home = "data"
        build = "always"
        platforms = ["debian12-x86_64-cp311", "debian11-aarch64-cp39"]
        recipes = ["mine"]
        [web]
        port = 9000
        public_url = "https://wheels.example.org/"
        [limits]
        memory_bytes = "2GiB"
        wall_s = 600
        [heal]
        debian_bytes = "300MiB"
        [bundle]
        never = ["debian11-*"]
        when_missing = ["Debian*-cp39", "*-cp311"]
        """,
    )

    settings = load(file)

    assert settings.farm.name == "office"
    assert settings.farm.home == tmp_path / "data"
    assert settings.farm.recipes == (tmp_path / "mine",)
    assert settings.farm.build is BuildPolicy.ALWAYS
    assert settings.farm.platforms == (
        Platform.parse("debian12-x86_64-cp311"),
        Platform.parse("debian11-aarch64-cp39"),
    )
    assert settings.public_url == "https://wheels.example.org"
    assert settings.limits.memory_bytes == 2 * 2**30
    assert settings.limits.wall_s == 600.0
    assert settings.heal.debian_bytes == 300 * 2**20
    assert [settings.bundle.on(item) for item in settings.farm.platforms] == [Bundle.WHEN_MISSING, Bundle.NEVER]
    assert settings.bundle.on(Platform.parse("debian13-x86_64-cp313")) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[farn]\nname = "x"', ["farn: unknown key", "farm", "web"]),
        ("[web]\nprot = 1", ["web.prot: unknown key", "port, public_pages, public_url"]),
        ("web = 3", ["web: must be a table: [web]"]),
        ("[web]\nport = 70000", ["web.port: 70000", "from 1 to 65535"]),
        ("[web]\nport = 0", ["web.port: 0", "from 1 to 65535"]),
        ("[score]\nperson = -1", ["score.person: -1", "whole number of 0 or more"]),
        ('[web]\nport = "http"', ["web.port: 'http'", "whole number"]),
        ("[web]\nport = true", ["web.port: True", "whole number"]),
        ("[web]\nhost = 7", ["web.host: 7", "a text"]),
        ("[farm]\nhome = 7", ["farm.home: 7", "a path"]),
        ('[farm]\nbuild = "sometimes"', ["farm.build: 'sometimes'", "missing, always"]),
        ('[farm]\nplatforms = "debian12-x86_64-cp311"', ["farm.platforms", "a list of texts"]),
        ("[farm]\nplatforms = []", ["farm.platforms", "at least one platform"]),
        ('[farm]\nplatforms = ["debian12"]', ["farm.platforms", "not a platform: 'debian12'"]),
        ('[farm]\nplatforms = ["beos5-x86_64-cp311"]', ["farm.platforms", "known distributions: debian11"]),
        ('[node]\nname = "Not A Name"', ["node.name", "not a node name"]),
        ("[node]\nslots = 0", ["node.slots", "at least 1"]),
        ('[bundle]\nnever = ["debian12-*", "a b"]', ["bundle.never: 'a b' is not a platform, or a pattern"]),
        ('[bundle]\nwhen_missing = "debian12-*"', ["bundle.when_missing", "a list of texts"]),
        ('[heal]\ndebian_bytes = "much"', ["heal.debian_bytes: 'much'", '"2GiB"']),
        ("[timing]\nlease_s = 5", ["timing.lease_s: 5", "twice timing.heartbeat_s"]),
        ("[watch]\ncooldown_s = -1", ["watch.cooldown_s: -1", "seconds of 0 or more"]),
        ("[repeat]\nshare = 1.5", ["repeat.share: 1.5", "a share from 0.0 to 1.0"]),
        ("[repeat]\nshare = nan", ["repeat.share: nan", "a share from 0.0 to 1.0"]),
        ("[repeat]\nshare = true", ["repeat.share: True", "a share from 0.0 to 1.0"]),
        ("[repeat]\ntop = 10000001", ["repeat.top: 10000001", "at most 1000000"]),
        ("[timing]\ntick_s = -1", ["timing.tick_s: -1", "seconds above 0"]),
        ('[limits]\nmemory_bytes = "lots"', ["limits.memory_bytes: 'lots'", '"2GiB"']),
        ('[redis]\nurl = "memory://"', ["redis.url", "'memory'", "redis://"]),
        ('[database]\nurl = "mysql://user:secret@host/x"', ["database.url", "'mysql'", "postgresql://"]),
        ('[upstream]\nindex_url = "ftp://x"', ["upstream.index_url", "'ftp'", "https://"]),
        ('[redis]\nurl_file = "nowhere"', ["redis.url_file", "nowhere", "cannot be read"]),
        ("[web\n", ["not TOML"]),
    ],
)
def test_a_fault_is_named_with_file_key_and_what_is_allowed(tmp_path: Path, text: str, words: list[str]) -> None:
    file = _farm(tmp_path, text)

    with pytest.raises(SettingsError) as fault:
        load(file)

    said = str(fault.value)
    assert said.startswith(f"{file}: ")
    assert all(word in said for word in words), said
    assert "secret" not in said


def test_a_file_that_is_named_but_absent_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read"):
        load(tmp_path / "absent.toml")


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "redis-url").write_text("redis://:secret@example.org/1\n")
    file = _farm(tmp_path, '[redis]\nurl_file = "redis-url"')

    assert load(file).redis_url == "redis://:secret@example.org/1"


def test_the_environment_speaks_louder_than_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _farm(tmp_path, '[database]\nurl = "sqlite:///other.sqlite"')
    monkeypatch.setenv("WHEELFARM_DATABASE_URL", "postgresql://farm@db/farm")

    assert load(file).database_url == "postgresql://farm@db/farm"


def test_a_named_file_goes_before_the_one_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _farm(tmp_path, '[farm]\nname = "here"')
    (tmp_path / "elsewhere").mkdir()
    other = _farm(tmp_path / "elsewhere", '[farm]\nname = "there"')

    assert load().farm.name == "here"
    assert find() == Path("farm.toml")
    monkeypatch.setenv("WHEELFARM_SETTINGS", str(other))
    assert load().farm.name == "there"
    assert load(tmp_path / "farm.toml").farm.name == "here"


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(AttributeError):
        Settings().web.port = 1  # type: ignore[misc]


def test_two_farms_on_one_machine_do_not_share_a_workspace(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "farm.toml").write_text('[farm]\nhome = "home"\n')

    workspaces = {load(tmp_path / name / "farm.toml").node.workspace for name in ("one", "two")}

    assert len(workspaces) == 2
    assert load(tmp_path / "one" / "farm.toml").node.workspace in workspaces
