"""Which licences a Debian package's ``copyright`` file names, and how they get into a wheel's SBOM."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from builder.inside import licenses

FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
SBOM = "demo-1.0.dist-info/sboms/auditwheel.cdx.json"


@pytest.fixture(autouse=True)
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "doc"
    folder.mkdir()
    monkeypatch.setattr(licenses, "DOCUMENTS", folder)
    return folder


def package(documents: Path, name: str, text: str | bytes) -> None:
    (documents / name).mkdir()
    (documents / name / "copyright").write_bytes(text if isinstance(text, bytes) else text.encode())


def wheel(tmp_path: Path, members: dict[str, str]) -> Path:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"{FORMAT}\nFiles: *\nCopyright: me\nLicense: Expat\n more\n", ["Expat"]),
        (
            f"{FORMAT}\nFiles: *\nLicense: GPL-2+ and Expat or BSD-3-clause, and Zlib\n",
            ["GPL-2+", "Expat", "BSD-3-clause", "Zlib"],
        ),
        (
            f"{FORMAT}\nFiles: *\nLicense: LGPL-2.1+\n\nFiles: x\nLicense: LGPL-2.1+\n\nLicense: LGPL-2.1+\n text\n",
            ["LGPL-2.1+"],
        ),
        (f"{FORMAT}\nFiles: *\nLicense: GPL-2+ with OpenSSL exception\n", ["GPL-2+ with OpenSSL exception"]),
        (f"{FORMAT}\nFiles: *\nLicense: <script>alert(1)</script>\n", []),
        (f"{FORMAT}\nLicense: Expat\n text\n", []),
        ("This package was debianized by somebody.\nLicense: GPL-2\n", []),
        (b"\xff\xfe\x00" * 100, []),
        ("", []),
    ],
)
def test_the_short_names_are_those_of_its_files(documents: Path, text: str | bytes, names: list[str]) -> None:
    package(documents, "libx1", text)

    assert licenses.of_package("libx1") == names


def test_a_package_without_a_copyright_file_has_none() -> None:
    assert licenses.of_package("libx1") == []


def test_only_the_sbom_of_a_wheel_is_changed_and_only_for_debian_packages(tmp_path: Path, documents: Path) -> None:
    package(documents, "libx1", f"{FORMAT}\nFiles: *\nLicense: Zlib\n")
    components = [
        {"name": "demo", "purl": "pkg:pypi/demo@1.0"},
        {"name": "libx1", "purl": "pkg:deb/debian/libx1@1"},
        {"name": "../libx1", "purl": "pkg:deb/debian/libx1@1"},
        {"name": "libgone", "purl": "pkg:deb/debian/libgone@1"},
    ]
    own = {"demo/sboms/auditwheel.cdx.json": "{}", "demo/__init__.py": "", "demo-1.0.dist-info/RECORD": "as it was"}
    path = wheel(tmp_path, own | {SBOM: json.dumps({"components": components})})

    licenses.tell(path)

    with zipfile.ZipFile(path) as archive:
        told = json.loads(archive.read(SBOM))["components"]
        assert {name: archive.read(name).decode() for name in own} == own
        assert sorted(archive.namelist()) == sorted([*own, SBOM])
    assert [item.get("licenses") for item in told] == [None, [{"license": {"name": "Zlib"}}], None, None]


@pytest.mark.parametrize("members", [{"demo/__init__.py": ""}, {SBOM: '{"components": []}'}, {SBOM: "{}"}, {SBOM: "["}])
def test_a_wheel_without_grafted_libraries_keeps_what_it_has(tmp_path: Path, members: dict[str, str]) -> None:
    path = wheel(tmp_path, members)

    licenses.tell(path)

    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == members
