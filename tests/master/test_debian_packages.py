"""Debian packages: what is missing is named with its reason, and with one line that installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from master import debian_packages
from master.debian_packages import DebianPackage

_ROOT = Path(__file__).parents[2]


def _package(name: str, *, present: bool = False, otherwise: str = "") -> DebianPackage:
    return DebianPackage(name=name, why=f"why {name}", needed_for="run", present=lambda: present, otherwise=otherwise)


def test_nothing_is_said_where_nothing_is_missing(capfd: pytest.CaptureFixture[str]) -> None:
    assert debian_packages.main(["run"], [_package("there", present=True)]) == 0
    assert capfd.readouterr() == ("", "")


def test_where_it_may_not_install_it_ends_with_the_line_to_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/nowhere")

    assert debian_packages.main(["run"], [_package("one"), _package("two")]) == 1

    said = capfd.readouterr().err.splitlines()
    assert "  one: why one" in said
    assert said[-1] == "sudo apt-get install --yes --no-install-recommends one two"


def test_an_optional_package_does_not_stop_the_farm(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/nowhere")

    assert debian_packages.main(["run"], [_package("redis-server", otherwise="we do without")]) == 0
    assert "redis-server is not installed; we do without" in capfd.readouterr().err


def test_a_package_that_would_open_the_machine_to_others_is_kept_from_starting_anything() -> None:
    server = DebianPackage(
        name="server", why="", needed_for="test", present=lambda: False, units=("a.service", "a.socket")
    )

    assert debian_packages.install_line([server]) == (
        "sudo systemctl mask a.service a.socket; sudo apt-get install --yes --no-install-recommends server"
    )


def test_it_runs_with_nothing_but_the_standard_library() -> None:
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); import master.debian_packages"]

    assert subprocess.run(command, cwd=_ROOT, check=False).returncode == 0


def test_each_package_is_in_the_reference_with_its_reason() -> None:
    reference = (_ROOT / "docs" / "reference" / "debian-packages.md").read_text()

    for package in debian_packages.PACKAGES:
        assert f"| `{package.name}` | {package.needed_for} | {package.why} |" in reference
