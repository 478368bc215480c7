from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from master.upstream import default_index_url
from schema.errors import SettingsError
from schema.pip_settings import pip_settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_environment_names_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/root/simple")
    monkeypatch.setenv("PIP_CERT", "/etc/authorities.pem")
    monkeypatch.setenv("PIP_PROXY", "http://proxy.example:3128")

    found = pip_settings()

    assert found.index_url == "https://index.example/root/simple/"
    assert (found.ca, found.proxy) == (Path("/etc/authorities.pem"), "http://proxy.example:3128")


def test_pips_own_file_names_the_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://index.example/g/\n[install]\nindex-url = https://index.example/i/\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))

    assert default_index_url() == "https://index.example/i/"


def test_where_nothing_is_set_pips_own_default_counts() -> None:
    constant = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    told = subprocess.run([sys.executable, "-c", constant], capture_output=True, text=True, check=True)

    assert default_index_url() == told.stdout.strip().rstrip("/") + "/"


@pytest.mark.parametrize("index", ["file:///srv/index/", "/srv/index"])
def test_an_index_that_is_no_server_is_a_fault_of_the_settings(monkeypatch: pytest.MonkeyPatch, index: str) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index)

    with pytest.raises(SettingsError, match=r"upstream\.index_url"):
        default_index_url()


def test_without_any_pip_the_settings_must_name_the_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SettingsError, match=r"upstream\.index_url"):
        default_index_url()
