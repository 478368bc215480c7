"""``wheelfarm compare``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.schema.wheels import forge

Call = Callable[..., Any]


def two(folder: Path, other: bytes = b"VALUE = 1\n", *, build_number: int = 0) -> tuple[Path, Path]:
    """A wheel, and one whose module is *other*."""
    files = forge.members()
    one = forge.canonical(folder / "one", files)
    return one, forge.canonical(folder / "other", files | {"demo/__init__.py": other}, build_number=build_number)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that programs are found in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, script: str) -> None:
    (folder / "diffoscope").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "diffoscope").chmod(0o755)


def test_the_same_wheels_are_told_to_be_identical(wheelfarm: Call, tmp_path: Path) -> None:
    called = wheelfarm("compare", *two(tmp_path))

    assert (called.code, called.out, called.err) == (0, "identical\n", "")


def test_equivalent_ones_are_fine_and_what_is_harmless_is_named(wheelfarm: Call, tmp_path: Path) -> None:
    called = wheelfarm("compare", *two(tmp_path, build_number=2))

    assert (called.code, called.out) == (0, "equivalent: RECORD, the build number\n")


def test_others_end_with_1_and_the_first_difference(wheelfarm: Call, tmp_path: Path) -> None:
    pair = two(tmp_path, b"VALUE = 2\n")

    called = wheelfarm("compare", *pair, "--json")

    assert called.code == 1
    assert called.json == {
        "verdict": "differs",
        "harmless": ["RECORD"],
        "member": "demo/__init__.py",
        "place": "line 1: 'VALUE = 1' / 'VALUE = 2'",
        "others": 0,
        "detail": "demo/__init__.py, line 1: 'VALUE = 1' / 'VALUE = 2'",
    }
    assert wheelfarm("compare", *pair).out == f"differs: {called.json['detail']}\n"


def test_what_is_no_wheel_is_refused(wheelfarm: Call, tmp_path: Path) -> None:
    one, other = two(tmp_path)
    other.write_bytes(b"no zip")

    called = wheelfarm("compare", one, other)

    assert (called.code, called.out) == (1, "")
    assert "A-05" in called.err


def test_diffoscope_tells_the_rest_where_it_is_asked_for(wheelfarm: Call, tmp_path: Path, programs: Path) -> None:
    install(programs, 'for last; do :; done; printf "%s\\033[31m" "$last"; exit 1')
    one, other = two(tmp_path, b"VALUE = 2\n")

    called = wheelfarm("compare", one, other, "--diffoscope")

    assert called.code == 1
    assert called.out.splitlines()[1:] == ["", f"{other}␛[31m"]
    assert wheelfarm("compare", one, other, "--diffoscope", "--json").json["diffoscope"] == f"{other}\x1b[31m"


def test_without_diffoscope_it_is_said_what_to_install(wheelfarm: Call, tmp_path: Path, programs: Path) -> None:
    pair = two(tmp_path, b"VALUE = 2\n")

    called = wheelfarm("compare", *pair, "--diffoscope")

    assert called.code == 3
    assert "apt-get install diffoscope-minimal" in called.err
    assert not list(programs.iterdir())


def test_a_diffoscope_that_fails_is_told_with_its_last_word(wheelfarm: Call, tmp_path: Path, programs: Path) -> None:
    install(programs, "echo starts >&2; echo broken >&2; exit 2")

    called = wheelfarm("compare", *two(tmp_path, b"VALUE = 2\n"), "--diffoscope")

    assert (called.code, called.out) == (3, "")
    assert "diffoscope ended with 2: broken" in called.err
