"""The one door through which something of a build's own making comes out (T6, B-05)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from builder import collecting
from schema.errors import BuildFailedError, WheelRejectedError

NAME = "demo-1.0-py3-none-any.whl"


def collected(out: Path, *, max_bytes: int = 2**20) -> Path:
    into = out.parent / "kept"
    into.mkdir(exist_ok=True)
    return collecting.wheel(
        out, project=canonicalize_name("demo"), version=Version("1.0"), max_bytes=max_bytes, into=into
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_the_wheel_is_copied_byte_by_byte(out: Path) -> None:
    (out / NAME).write_bytes(b"bytes of a wheel")

    assert collected(out).read_bytes() == b"bytes of a wheel"


def test_a_link_is_not_followed(out: Path) -> None:
    secret = out.parent / "secret"
    secret.write_text("hunter2")
    (out / NAME).symlink_to(secret)

    with pytest.raises(WheelRejectedError, match="cannot be taken"):
        collected(out)


def test_a_fifo_does_not_block(out: Path) -> None:
    os.mkfifo(out / NAME)

    with pytest.raises(WheelRejectedError, match="not a plain file"):
        collected(out)


def test_a_folder_is_no_wheel(out: Path) -> None:
    (out / NAME).mkdir()

    with pytest.raises(WheelRejectedError, match="not a plain file"):
        collected(out)


def test_a_file_with_a_second_name_is_not_taken(out: Path) -> None:
    (out / NAME).write_bytes(b"x")
    (out / "other").hardlink_to(out / NAME)

    with pytest.raises(WheelRejectedError, match="one name"):
        collected(out)


def test_a_wheel_over_the_limit_is_not_taken(out: Path) -> None:
    (out / NAME).write_bytes(b"x" * 2000)

    with pytest.raises(WheelRejectedError, match="at most 1000"):
        collected(out, max_bytes=1000)


def test_a_wheel_that_is_mostly_holes_is_not_taken(out: Path) -> None:
    with (out / NAME).open("wb") as file:
        file.truncate(900 * 2**20)

    with pytest.raises(WheelRejectedError, match="holes"):
        collected(out, max_bytes=2**30)


@pytest.mark.parametrize(
    "name",
    [
        "other-1.0-py3-none-any.whl",
        "demo-2.0-py3-none-any.whl",
        "demo-1.0.whl",
        "\x1b[31mdemo-1.0-py3-none-any.whl",
        "demo-1.0-py3-none-any\n.whl",
        "dem\u043e-1.0-py3-none-any.whl",
        ".whl",
    ],
)
def test_a_wheel_under_another_name_is_not_taken(out: Path, name: str) -> None:
    (out / name).write_bytes(b"x")

    with pytest.raises(WheelRejectedError) as caught:
        collected(out)
    assert "\x1b" not in str(caught.value)


def test_an_answer_is_one_small_object(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"exit_code": 0}))

    assert collecting.answer(tmp_path) == {"exit_code": 0}


@pytest.mark.parametrize("data", [b"", b"[]", b"nonsense", b"\xff", b"[" * 100_000, b" " * (2**20 + 1)])
def test_any_other_answer_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "result.json").write_bytes(data)

    with pytest.raises(BuildFailedError, match="spoiled its own answer"):
        collecting.answer(tmp_path)


def test_a_missing_answer_and_a_linked_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildFailedError):
        collecting.answer(tmp_path)
    (tmp_path / "result.json").symlink_to("/etc/hostname")
    with pytest.raises(BuildFailedError):
        collecting.answer(tmp_path)
