"""A virtual environment of the image's interpreter, filled with wheels from a folder; nothing is fetched."""

from __future__ import annotations

import os
import subprocess
import sys

from builder.inside.refusal import RefusedError

PIP = "/tools/pip"


def make(folder: str) -> None:
    """An empty environment, without pip."""
    command = [sys.executable, "-I", "-m", "venv", "--clear", "--without-pip", folder]
    subprocess.run(command, check=True)


def install(folder: str, wheels: list[str], *, failure_class: str = "requirement") -> None:
    """Install exactly these files; raise RefusedError with pip's complaint in the log."""
    if not wheels:
        return
    # -I (ignore what is installed): pip would take the tools beside itself for the environment's own.
    command = [sys.executable, "-I", PIP, "--python", f"{folder}/bin/python", "install", "-I", "--no-index"]
    quiet = ["--no-deps", "--no-compile", "--no-cache-dir", "--no-warn-script-location", "--quiet"]
    isolated = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
    if subprocess.run([*command, *quiet, "--", *wheels], check=False, env=isolated).returncode:
        raise RefusedError(f"pip could not install {', '.join(wheels)[:400]}", failure_class=failure_class)
