"""Real wheels from pip's index: repacked twice to the same bytes, canonical, and without findings."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from schema.platforms import Platform, this_machine
from schema.wheels.canonical import is_canonical, repack
from schema.wheels.check import Expected, check

EPOCH = 1_700_000_001
PROJECTS = [
    "click",
    "markupsafe",
    "cffi",
    "pyyaml",
    "cryptography",
    "setuptools",
    "six",
    "pynacl",
    "psycopg2-binary",
    "zope.interface",
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One wheel of each project for this machine's CPython 3.11; wheels only, so nothing of theirs is run."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary", ":all:", "--python-version", "3.11", "--dest", str(folder), *PROJECTS),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return {parse_wheel_filename(path.name)[0]: path for path in folder.glob("*.whl")}


@pytest.mark.parametrize("project", [name.replace(".", "-") for name in PROJECTS])
def test_a_real_wheel_is_repacked_to_the_same_bytes_twice_and_has_no_findings(
    project: str, downloaded: dict[str, Path], tmp_path: Path
) -> None:
    raw = downloaded[project]
    name, version, _, tags = parse_wheel_filename(raw.name)
    job = Expected(
        project=name, version=version, platform=Platform.parse(f"debian13-{this_machine()}-cp311"), build_number=0
    )

    one = repack(raw, tmp_path / "one", epoch=EPOCH)
    two = repack(one, tmp_path / "two", epoch=EPOCH)

    assert one.read_bytes() == two.read_bytes()
    assert is_canonical(one)
    found = check(one, job)
    assert found.tags == tags
    assert bool(found.extensions) != (project in ("click", "setuptools", "six"))
    assert found.external == ()
    with zipfile.ZipFile(raw) as before, zipfile.ZipFile(one) as after:
        assert after.testzip() is None
        assert sorted(_contents(before)) == sorted(_contents(after))


def _contents(archive: zipfile.ZipFile) -> list[bytes]:
    """All files but RECORD; of WHEEL's end only that there is one, which repack normalises."""
    infos = [
        info for info in archive.infolist() if not info.is_dir() and not info.filename.endswith(".dist-info/RECORD")
    ]
    return [archive.read(info).rstrip(b"\n" if info.filename.endswith("/WHEEL") else b"") for info in infos]


def test_pip_installs_a_repacked_wheel(downloaded: dict[str, Path], tmp_path: Path) -> None:
    path = repack(downloaded["click"], tmp_path, epoch=EPOCH, build_number=3)

    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--no-index",
                "--disable-pip-version-check",
            ),
            *("--root-user-action", "ignore", "--target", tmp_path / "site", path),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )

    assert path.name.split("-")[2] == "3"
    assert (tmp_path / "site" / "click" / "__init__.py").is_file()
