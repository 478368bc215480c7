from __future__ import annotations

from pathlib import Path

import pytest

from master.requirements_file import read_requirements
from schema.errors import UsageError


def write(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def read(folder: Path, text: str) -> list[str]:
    return [str(item) for item in read_requirements(write(folder, text))]


def test_names_ranges_markers_extras_and_comments_are_read(tmp_path: Path) -> None:
    text = """\ufeff# what we need
click
PyNaCl >= 1.5 , < 2   # a range

celery[redis] == 5.*
tomli; python_version < "3.11"  # a marker
long-one \\
    >= 1 \\
    , < 2
click
"""

    assert read(tmp_path, text) == [
        "click",
        "PyNaCl<2,>=1.5",
        "celery[redis]==5.*",
        'tomli; python_version < "3.11"',
        "long-one<2,>=1",
    ]


@pytest.mark.parametrize("option", ["-r ", "-r", "--requirement ", "--requirement="])
def test_files_below_the_same_folder_may_be_included(tmp_path: Path, option: str) -> None:
    write(tmp_path, "inner\n-r ../third.txt", "more/second.txt")
    write(tmp_path, "third", "third.txt")

    assert read(tmp_path, f"outer\n{option}more/second.txt") == ["outer", "inner", "third"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("click\n--index-url https://index.example/", 2, "--index-url"),
        ("-e .", 1, "-e"),
        ("click==8.1 --hash=sha256:00", 1, "--hash"),
        ("click==8.1 \\\n  --hash=sha256:00", 1, "--hash"),
        ("\n\n--no-binary :all:", 3, "--no-binary"),
        ("-c constraints.txt", 1, "-c"),
        ("https://index.example/demo-1.0.tar.gz", 1, "index.example"),
        ("demo @ https://index.example/demo-1.0.tar.gz", 1, "index.example"),
        ("git+ssh://index.example/demo", 1, "index.example"),
        ("./demo", 1, "./demo"),
        ("/srv/demo", 1, "/srv/demo"),
        ("click\nnot a name", 2, "not a name"),
        ("click=8", 1, "click=8"),
        ("$NAME", 1, "$NAME"),
        ("-r ../elsewhere.txt", 1, "outside"),
        ("-r /etc/hostname", 1, "outside"),
    ],
)
def test_what_means_nothing_to_a_farm_is_refused_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)

    assert f"requirements.txt, line {line}: " in str(caught.value)
    assert said in str(caught.value)


def test_a_fault_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    write(tmp_path, "\n??", "second.txt")

    with pytest.raises(UsageError, match=r"second\.txt, line 2"):
        read(tmp_path, "-r second.txt")


def test_a_symbolic_link_does_not_lead_outside(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "password", "secret.txt")
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "link.txt").symlink_to(secret)

    with pytest.raises(UsageError, match="outside"):
        read(tmp_path / "farm", "-r link.txt")


def test_files_that_include_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "-r requirements.txt", "second.txt")

    with pytest.raises(UsageError, match="includes itself"):
        read(tmp_path, "-r second.txt")


@pytest.mark.parametrize(("data", "said"), [(b"\xff\xfe\x00", "UTF-8"), (b"x" * (2**20 + 1), "too long")])
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "requirements.txt"
    file.write_bytes(data)

    with pytest.raises(UsageError, match=said):
        read_requirements(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_requirements(tmp_path / "nowhere.txt")
