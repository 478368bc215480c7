"""A virtual environment of the image's interpreter, filled with wheels from a folder; nothing is fetched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from inspect import signature
from pathlib import Path

from installer import install as put  # type: ignore[import-not-found] # lies in /tools only
from installer.destinations import SchemeDictionaryDestination  # type: ignore[import-not-found]
from installer.sources import WheelFile  # type: ignore[import-not-found]

from builder.inside.refusal import RefusedError


def make(folder: str) -> None:
    """An empty environment, without pip."""
    command = [sys.executable, "-I", "-m", "venv", "--clear", "--without-pip", folder]
    subprocess.run(command, check=True)


def install(folder: str, wheels: list[str], *, failure_class: str = "requirement") -> None:
    """Put exactly these files there, as pip would; raise RefusedError for what is no wheel.

    By the library that other installers use: pip needs half a second to start, a small board's pip some seconds.
    """
    for wheel in wheels:
        try:
            with WheelFile.open(Path(wheel)) as source:
                put(source, _places(folder, source.distribution), {"INSTALLER": b"wheelfarm\n"})
        except Exception as err:  # whatever may be wrong with it: its bytes are not ours
            raise RefusedError(f"{Path(wheel).name} cannot be installed: {err}", failure_class=failure_class) from err


def site_packages(folder: str) -> Path:
    """Where an environment has its modules."""
    return Path(folder, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")


def _places(folder: str, project: str) -> SchemeDictionaryDestination:
    modules, python = str(site_packages(folder)), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    places = {
        "purelib": modules,
        "platlib": modules,
        "headers": f"{folder}/include/site/{python}/{project}",
        "scripts": f"{folder}/bin",
        "data": folder,
    }
    # The installer of interpreters before 3.10 has no such choice: it refuses what is there already.
    overwriting = {"overwrite_existing": True} if "overwrite_existing" in _choices() else {}
    return SchemeDictionaryDestination(places, interpreter=f"{folder}/bin/python", script_kind="posix", **overwriting)


def _choices() -> Mapping[str, object]:
    return signature(SchemeDictionaryDestination).parameters
