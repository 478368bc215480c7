from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from master import lock_file
from schema.errors import UsageError
from schema.platforms import Platform

BOOKWORM = Platform.parse("debian12-x86_64-cp311")
TRIXIE = Platform.parse("debian13-x86_64-cp313")
HEAD = 'lock-version = "1.0"\ncreated-by = "a test"\n'
DIGEST = "0" * 64


def package(name: str, version: str = "1.0", more: str = "") -> str:
    url = f"https://index.example/{name}-{version}.tar.gz"
    sdist = f'sdist = {{ url = "{url}", hashes = {{ sha256 = "{DIGEST}" }} }}'
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{more}\n{sdist}\n'


def write(folder: Path, text: str, name: str = "pylock.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def read(folder: Path, text: str) -> dict[str, list[str]]:
    """Pin → its platforms."""
    found = lock_file.read(write(folder, text), platforms=[BOOKWORM, TRIXIE])
    return {str(pin): [str(item) for item in takers] for pin, takers in found.pins}


def refusal(folder: Path, text: str, name: str = "pylock.toml") -> str:
    with pytest.raises(UsageError) as caught:
        lock_file.read(write(folder, text, name), platforms=[BOOKWORM])
    return str(caught.value)


def test_the_name_tells_a_lock_file() -> None:
    names = ["pylock.toml", "pylock.dev.toml", "mine.toml", "requirements.txt", "pylock.a.b.toml"]

    assert [name for name in names if lock_file.is_lock_file(Path(name))] == names[:2]


@pytest.mark.parametrize(
    ("name", "command"),
    [("uv.lock", "uv export --format pylock.toml"), ("poetry.lock", "poetry export"), ("pdm.lock", "pdm export")],
)
def test_another_tools_lock_file_is_refused_with_the_command_that_exports_it(name: str, command: str) -> None:
    with pytest.raises(UsageError, match=command):
        lock_file.is_lock_file(Path(name))


def test_each_package_of_an_index_becomes_a_pin_for_every_platform(tmp_path: Path) -> None:
    assert read(tmp_path, HEAD + package("numpy", "2.3.5") + package("click")) == {"numpy==2.3.5": [], "click==1.0": []}


def test_markers_are_evaluated_for_each_platform_of_the_farm(tmp_path: Path) -> None:
    text = HEAD + package("tomli", more="marker = \"python_version < '3.12'\"")
    text += package("colorama", more="marker = \"sys_platform == 'win32'\"")
    text += package("wheel", more='requires-python = ">=3.13"')

    assert read(tmp_path, text) == {"tomli==1.0": [str(BOOKWORM)], "wheel==1.0": [str(TRIXIE)]}


def test_what_extras_and_groups_take_is_wanted_too(tmp_path: Path) -> None:
    text = HEAD + 'extras = ["fast"]\ndependency-groups = ["dev", "default"]\ndefault-groups = ["default"]\n'
    text += package("a", more="marker = \"'fast' in extras\"")
    text += package("b", more="marker = \"'dev' in dependency_groups\"")
    text += package("c", more="marker = \"'fast' not in extras\"")
    text += package("d", more="marker = \"'nobody' in extras\"")

    assert list(read(tmp_path, text)) == ["a==1.0", "b==1.0", "c==1.0"]


def test_a_file_for_other_pythons_wants_nothing_on_those_platforms(tmp_path: Path) -> None:
    found = lock_file.read(
        write(tmp_path, HEAD + 'requires-python = ">=3.12"\n' + package("a")), platforms=[BOOKWORM, TRIXIE]
    )

    assert [takers for _, takers in found.pins] == [(TRIXIE,)]
    assert found.notes == (f"{BOOKWORM}: the file is not meant for it",)


def test_a_file_for_other_environments_wants_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, HEAD + "environments = [\"sys_platform == 'win32'\"]\n" + package("a")) == {}


@pytest.mark.parametrize(
    "source",
    [
        'vcs = { type = "git", url = "https://code.example/a", commit-id = "abc" }',
        'directory = { path = "." }',
        f'archive = {{ url = "https://code.example/a.zip", hashes = {{ sha256 = "{DIGEST}" }} }}',
    ],
)
def test_what_no_index_has_is_left_out_with_a_note(tmp_path: Path, source: str) -> None:
    text = HEAD + f'[[packages]]\nname = "a"\nversion = "1.0"\n{source}\n' + package("b")

    found = lock_file.read(write(tmp_path, text), platforms=[BOOKWORM])

    assert [str(pin) for pin, _ in found.pins] == ["b==1.0"]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("a: comes from a repository, a folder or an archive")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('lock-version = "2.0"\n', "lock-version '2.0' is unknown; 1.0 is what can be read"),
        ("lock-version = 1\n", "lock-version 1 is unknown"),
        ('created-by = "x"\npackages = []\n', "lock-version None is unknown"),
        (HEAD, "not a lock file: Missing required value in 'packages'"),
        (HEAD + "[[packages]]\nname = 'A B'\n", "not a lock file: Name 'A B' is not normalized in 'packages[0].name'"),
        ("lock-version = ", "not TOML"),
        ("a = " + "[" * 5_000, "nested too deeply"),
        (HEAD + "packages = [" + "{}," * 10_001 + "]\n", "more than 10000 packages"),
    ],
)
def test_a_fault_is_told_with_the_file(tmp_path: Path, text: str, told: str) -> None:
    message = refusal(tmp_path, text)

    assert str(tmp_path / "pylock.toml") in message
    assert told in message


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "pylock.toml"
    with file.open("wb") as opened:
        opened.truncate(2**40)

    with pytest.raises(UsageError, match="too long"):
        lock_file.read(file, platforms=[BOOKWORM])


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        lock_file.read(tmp_path / "pylock.toml", platforms=[BOOKWORM])


_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["1.0", "2", "a", "numpy", ">=3", "python_version<'3'", "'a' in extras", "extra == 'x'", "((((", "python_version"]
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_SDIST = {"url": "https://x.example/a-1.0.tar.gz", "hashes": {"sha256": DIGEST}}
_PACKAGES = st.fixed_dictionaries(
    {"name": st.just("a") | _VALUES, "version": st.just("1.0") | _VALUES, "sdist": st.just(_SDIST) | _VALUES},
    optional=dict.fromkeys(("marker", "requires-python", "wheels", "vcs", "directory", "archive", "index"), _VALUES),
)
_LOCKS = st.fixed_dictionaries(
    {"lock-version": st.just("1.0") | _VALUES, "created-by": st.just("x") | _VALUES},
    optional={
        "packages": st.lists(_PACKAGES, max_size=3) | _VALUES,
        **dict.fromkeys(
            ("environments", "requires-python", "extras", "dependency-groups", "default-groups", "tool"), _VALUES
        ),
    },
)


def toml(value: object) -> str:
    """As an inline value; a writer of TOML that refuses nothing is all that garbage needs."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
    return '""' if value is None else str(value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_LOCKS)
def test_whatever_a_lock_file_holds_it_is_read_or_refused(tmp_path: Path, data: dict[str, Any]) -> None:
    file = write(tmp_path, "".join(f"{key} = {toml(value)}\n" for key, value in data.items()))

    try:
        found = lock_file.read(file, platforms=[BOOKWORM, TRIXIE])
    except UsageError as err:
        assert str(file) in str(err)  # noqa: PT017 - either is right
    else:
        assert all(len(pin.specifier) == 1 for pin, _ in found.pins)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_toml_are_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "pylock.toml"
    file.write_bytes(data)

    with pytest.raises(UsageError):
        lock_file.read(file, platforms=[BOOKWORM])
