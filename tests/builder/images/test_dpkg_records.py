"""dpkg's records of packages that were only unpacked, on roots of a few files and .deb files made here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from builder import dpkg_records
from builder.process import ProcessError

BASE = "Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\n\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """With merged /usr, and records that another root shares by hard link."""
    made = tmp_path / "root"
    (made / "var/lib/dpkg/info").mkdir(parents=True)
    (made / "usr/lib").mkdir(parents=True)
    (made / "lib").symlink_to("usr/lib")
    (made / "var/lib/dpkg/info/format").write_text("1\n")
    (made / "var/lib/dpkg/status").write_text(BASE)
    os.link(made / "var/lib/dpkg/status", tmp_path / "shared")
    return made


def deb(folder: Path, name: str, *files: str, version: str = "2.0", more: str = "Architecture: all\n") -> Path:
    tree = folder / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nMaintainer: Me <me@example.org>\n{more}"
        "Description: A package\n of two lines\n"
    )
    for file in files:
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_text("x")
    made = tree.with_suffix(".deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, capture_output=True)
    return made


def ask(root: Path, *arguments: str) -> str:
    argv = ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_a_file_is_found_where_it_lies_and_its_package_is_unpacked(root: Path, tmp_path: Path) -> None:
    debs = [deb(tmp_path, "libx1", "lib/libx.so.1.2"), deb(tmp_path, "libx-dev", "usr/include/with a -> in it.h")]

    dpkg_records.add(root, debs)

    assert ask(root, "--search", "/usr/lib/libx.so.1.2") == "libx1: /usr/lib/libx.so.1.2\n"
    assert ask(root, "--show", "--showformat=${Package} ${Version} ${Status}\n") == (
        "base 1.0 install ok installed\nlibx-dev 2.0 install ok unpacked\nlibx1 2.0 install ok unpacked\n"
    )
    assert (tmp_path / "shared").read_text() == BASE


def test_a_newer_package_takes_the_place_of_the_one_that_was_there(root: Path, tmp_path: Path) -> None:
    dpkg_records.add(root, [deb(tmp_path, "base", "usr/share/base", version="1.1")])

    assert ask(root, "--show", "--showformat=${Package} ${Version} ${Status}\n") == ("base 1.1 install ok unpacked\n")


def test_a_package_for_several_architectures_has_its_own_in_the_name_of_its_list(root: Path, tmp_path: Path) -> None:
    package = deb(tmp_path, "libx1", "usr/lib/libx.so.1", more="Architecture: s390x\nMulti-Arch: same\n")

    dpkg_records.add(root, [package])

    assert (root / "var/lib/dpkg/info/libx1:s390x.list").read_text() == "/.\n/usr\n/usr/lib\n/usr/lib/libx.so.1\n"


def test_what_is_no_package_is_an_error_and_changes_nothing(root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.deb"
    broken.write_bytes(b"no package")

    with pytest.raises(ProcessError):
        dpkg_records.add(root, [broken])

    assert (root / "var/lib/dpkg/status").read_text() == BASE
