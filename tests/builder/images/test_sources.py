"""Of all package sources of a machine, an image is made from its own distribution's only."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder import apt, apt_sources
from schema.errors import JobError
from schema.states import FailureClass

DEBIAN = """\
# made by the installer
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
# a remark in the middle
Components: main contrib non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
THIRD_PARTY = {
    "nodesource.sources": "Types: deb\nURIs: https://node.example\nSuites: nodistro\nComponents: main\n",
    "docker.sources": "Types: deb\nURIs: https://docker.example\nSuites: bookworm\nComponents: stable\n",
    "cloud.list": "deb https://cloud.example/apt cloud-sdk-bookworm main\n",
    "pgdg.list": "deb [signed-by=/x.asc] https://pgdg.example bookworm-pgdg main # comment\n",
    "raspi.sources": "Types: deb\nURIs: http://a.example\nSuites: bookworm\nComponents: main\nArchitectures: armhf\n",
    "old.sources.disabled": "Types: deb\nURIs: http://gone.example\nSuites: bookworm\nComponents: main\n",
}


def _machine(folder: Path, files: dict[str, str], sources_list: str = "") -> Path:
    (folder / "etc" / "sources.list.d").mkdir(parents=True)
    (folder / "etc" / "sources.list").write_text(sources_list)
    for name, text in files.items():
        (folder / "etc" / "sources.list.d" / name).write_text(text)
    return folder / "etc"


def test_the_distributions_own_main_archive_is_taken_and_nothing_else(tmp_path: Path) -> None:
    machine = _machine(tmp_path, {"debian.sources": DEBIAN, **THIRD_PARTY})

    kept = apt_sources.keep_sources(tmp_path / "apt", "bookworm", ("amd64",), machine=machine)

    assert kept is not None
    assert kept.read_text() == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: http://security.example/debian-security\nSuites: bookworm-security\nComponents: main\n"
    )


def test_without_the_security_archive_the_rest_stays(tmp_path: Path) -> None:
    machine = _machine(tmp_path, {"debian.sources": DEBIAN})

    kept = apt_sources.keep_sources(tmp_path / "apt", "bookworm", ("amd64",), security=False, machine=machine)

    assert kept is not None
    assert "mirror.example" in kept.read_text()
    assert "security" not in kept.read_text()


def test_sources_of_one_line_each_are_read_too(tmp_path: Path) -> None:
    lines = (
        "deb [arch=amd64,arm64 signed-by=/keys.gpg] http://mirror.example/debian bookworm main contrib # first\n"
        "#deb http://off.example/debian bookworm main\ndeb-src http://source.example/debian bookworm main\n"
    )
    machine = _machine(tmp_path, {}, lines)

    kept = apt_sources.keep_sources(tmp_path / "apt", "bookworm", ("amd64",), machine=machine)

    assert kept is not None
    assert kept.read_text() == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\nSigned-By: /keys.gpg\n"
    )


def test_another_distribution_has_no_sources_of_the_suite(tmp_path: Path) -> None:
    machine = _machine(tmp_path, {"debian.sources": DEBIAN})

    assert apt_sources.keep_sources(tmp_path / "apt", "trixie", ("amd64",), machine=machine) is None


@pytest.mark.parametrize(
    "name", ["--purge", "-o=x", "libpq-dev=1", "libpq-dev:arm64", "../x", "lib pq", "libpq-dev-", "é", ""]
)
def test_what_is_no_name_of_a_package_never_reaches_apt(name: str) -> None:
    with pytest.raises(JobError) as raised:
        apt.check_names([name])

    assert raised.value.failure_class is FailureClass.REQUIREMENT


def test_names_are_sorted_and_named_once() -> None:
    assert apt.check_names(["libstdc++6", "g++", "libc6-dev", "g++"]) == ["g++", "libc6-dev", "libstdc++6"]
