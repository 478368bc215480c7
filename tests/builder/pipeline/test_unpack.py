"""The unpacker that runs inside the sandbox, fed with archives as hostile ones are made (B-03, T8)."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from builder.inside.refusal import RefusedError
from builder.inside.unpack import main
from tests.builder.pipeline.archives import MOMENT, file, folder, link, special, tar_of, zip_of

SETUP = file("demo-1.0/setup.py", b"pass")


def unpacked(tmp_path: Path, data: bytes, name: str = "sdist.tar.gz", **caps: int) -> tuple[Path, dict[str, Any]]:
    archive, into = tmp_path / name, tmp_path / "src"
    archive.write_bytes(data)
    request = {"max_members": 1000, "max_bytes": 200 * 2**20, **caps}
    return into, main({"archive": str(archive), "into": str(into), **request})


def refusal(tmp_path: Path, data: bytes, name: str = "sdist.tar.gz", **caps: int) -> str:
    with pytest.raises(RefusedError) as caught:
        unpacked(tmp_path, data, name, **caps)
    assert caught.value.failure_class == "sdist"
    return str(caught.value)


def test_the_top_folder_is_taken_away_and_times_and_executable_bits_stay(tmp_path: Path) -> None:
    script = file("demo-1.0/tools/run.sh", b"#!/bin/sh\n", mode=0o777, mtime=MOMENT + 5)

    tree, answer = unpacked(tmp_path, tar_of(folder("demo-1.0"), SETUP, script))

    assert (tree / "setup.py").read_bytes() == b"pass"
    assert stat.S_IMODE((tree / "setup.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((tree / "tools/run.sh").stat().st_mode) == 0o755
    assert (tree / "tools/run.sh").stat().st_mtime == MOMENT + 5
    assert answer["newest"] == MOMENT + 5


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_each_kind_of_tar_that_sdists_come_in_is_opened(tmp_path: Path, compression: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        archive.addfile(SETUP[0], io.BytesIO(SETUP[1]))

    tree, _ = unpacked(tmp_path, buffer.getvalue(), f"sdist.{compression}")

    assert (tree / "setup.py").is_file()


def test_old_zip_sdists_are_opened(tmp_path: Path) -> None:
    data = zip_of({"demo-1.0/setup.py": b"pass", "demo-1.0/PKG-INFO": b"Name: demo\nVersion: 1.0\n"})

    tree, answer = unpacked(tmp_path, data, "sdist.zip")

    assert (tree / "setup.py").read_bytes() == b"pass"
    assert (answer["name"], answer["version"], answer["newest"]) == ("demo", "1.0", MOMENT)


def test_links_that_stay_inside_are_kept(tmp_path: Path) -> None:
    members = [
        SETUP,
        file("demo-1.0/a/real.txt", b"real"),
        link("demo-1.0/b", "a"),
        link("demo-1.0/a/up", "../setup.py"),
    ]
    members.append(link("demo-1.0/copy.txt", "demo-1.0/a/real.txt", hard=True))

    tree, _ = unpacked(tmp_path, tar_of(*members))

    assert (tree / "b/real.txt").read_bytes() == b"real"
    assert (tree / "a/up").read_bytes() == b"pass"
    assert (tree / "copy.txt").read_bytes() == b"real"
    assert (tree / "copy.txt").stat().st_nlink == 1


def test_set_id_bits_are_dropped(tmp_path: Path) -> None:
    tree, _ = unpacked(tmp_path, tar_of(SETUP, file("demo-1.0/su", mode=0o6755)))

    assert stat.S_IMODE((tree / "su").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (file("/etc/cron.d/evil"), "absolute path"),
        (file("demo-1.0/../../evil"), "with '..'"),
        (link("demo-1.0/out", "/etc"), "leaves its folder"),
        (link("demo-1.0/out", "../.."), "leaves its folder"),
        (link("demo-1.0/passwd", "/etc/passwd", hard=True), "absolute path"),
        (link("demo-1.0/other", "demo-1.0/nothing", hard=True), "not a file before it"),
        (special("demo-1.0/null", tarfile.CHRTYPE), "neither a file"),
        (special("demo-1.0/disk", tarfile.BLKTYPE), "neither a file"),
        (special("demo-1.0/pipe", tarfile.FIFOTYPE), "neither a file"),
        (file("other-2.0/setup.py"), "two top folders"),
        (file("loose.txt"), "does not lie in a folder"),
        (file("demo-1.0/" + "deep/" * 300 + "x"), "deep"),
        (file("demo-1.0/setup.py/below"), "cannot be unpacked"),
        (file("demo-1.0/" + "n" * 300), "cannot be unpacked"),
    ],
)
def test_what_could_leave_the_folder_or_is_no_file_is_refused(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes | None], words: str
) -> None:
    assert words in refusal(tmp_path, tar_of(SETUP, member))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sdist.tar.gz", "src"]


def test_a_link_that_leaves_by_way_of_another_is_refused(tmp_path: Path) -> None:
    up = link("demo-1.0/a/b/up", "../..")
    out = link("demo-1.0/out", "a/b/up/../../etc/passwd")

    assert "leaves its folder" in refusal(tmp_path, tar_of(SETUP, folder("demo-1.0/a/b"), up, out))


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    words = refusal(tmp_path, tar_of(SETUP, link("demo-1.0/d", "sub"), file("demo-1.0/d/evil")))

    assert "something else at once" in words
    assert not list(elsewhere.iterdir())


def test_bombs_are_refused_before_they_are_written(tmp_path: Path) -> None:
    zeros = b"\0" * (120 * 2**20)

    words = refusal(tmp_path, tar_of(SETUP, file("demo-1.0/zeros", zeros)))

    assert "too large" in words
    written = sum(path.stat().st_size for path in (tmp_path / "src").rglob("*"))
    assert written <= 64 * 2**20


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    members = [file(f"demo-1.0/{number}") for number in range(50)]

    assert "too many members" in refusal(tmp_path, tar_of(SETUP, *members), max_members=20)


@pytest.mark.parametrize(
    "data",
    [b"", b"not an archive", b"\x1f\x8b\x08" + b"x" * 50, tar_of()],
    ids=["nothing", "text", "broken gzip", "no members"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "refused" in refusal(tmp_path, data)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    data = tar_of(SETUP, file("demo-1.0/data", os.urandom(100_000)))

    assert "not a readable archive" in refusal(tmp_path, data[:50_000])


def _fifo(info: zipfile.ZipInfo) -> None:
    info.create_system, info.external_attr = 3, (stat.S_IFIFO | 0o644) << 16


def _escaping_link(info: zipfile.ZipInfo) -> None:
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16


@pytest.mark.parametrize(
    ("members", "change", "words"),
    [
        ({"demo-1.0/../../evil": b"x"}, None, "with '..'"),
        ({"/etc/evil": b"x"}, None, "absolute path"),
        ({"demo-1.0/pipe": b""}, _fifo, "neither a file"),
        ({"demo-1.0/link": b"../../etc"}, _escaping_link, "leaves its folder"),
        ({"demo-1.0/zeros": b"\0" * (80 * 2**20)}, None, "too large"),
    ],
)
def test_zip_archives_are_held_to_the_same_rules(
    tmp_path: Path, members: dict[str, bytes], change: Any, words: str
) -> None:
    assert words in refusal(tmp_path, zip_of(members, change=change), "sdist.zip")


@pytest.mark.parametrize(
    ("pyproject", "backend", "requires"),
    [
        (None, "setuptools.build_meta:__legacy__", ["setuptools>=40.8.0"]),
        (b"[project]\nname = 'demo'\n", "setuptools.build_meta:__legacy__", ["setuptools>=40.8.0"]),
        (
            b"[build-system]\nrequires = ['wheel']\n",
            "setuptools.build_meta:__legacy__",
            ["wheel", "setuptools>=40.8.0"],
        ),
        (
            b"[build-system]\nrequires = ['flit_core']\nbuild-backend = 'flit_core.api'\n",
            "flit_core.api",
            ["flit_core"],
        ),
    ],
)
def test_the_build_system_is_read_as_pep_517_says(
    tmp_path: Path, pyproject: bytes | None, backend: str, requires: list[str]
) -> None:
    members = [SETUP] if pyproject is None else [SETUP, file("demo-1.0/pyproject.toml", pyproject)]

    _, answer = unpacked(tmp_path, tar_of(*members))

    assert answer["build_system"] == {"backend": backend, "requires": requires, "backend_path": []}


@pytest.mark.parametrize(
    ("pyproject", "words"),
    [
        (b"[build-system\n", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[build-system]\n", "requires must be a list"),
        (b"[build-system]\nrequires = 'setuptools'\n", "requires must be a list"),
        (b"[build-system]\nrequires = []\nbuild-backend = 3\n", "build-backend must be a text"),
        (b"build-system = 1\n", "not a table"),
        (b"[build-system]\nrequires = []\nbuild-backend = 'b'\nbackend-path = ['../..']\n", "leaves the source tree"),
        (b"[build-system]\nrequires = []\nbuild-backend = 'b'\nbackend-path = ['/tmp']\n", "leaves the source tree"),
    ],
)
def test_a_broken_pyproject_is_the_backends_failure_with_the_parsers_words(
    tmp_path: Path, pyproject: bytes, words: str
) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        unpacked(tmp_path, tar_of(SETUP, file("demo-1.0/pyproject.toml", pyproject)))

    assert caught.value.failure_class == "backend"


def test_a_tree_that_nothing_can_build_is_the_backends_failure(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="neither a pyproject"):
        unpacked(tmp_path, tar_of(file("demo-1.0/README")))
