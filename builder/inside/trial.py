"""Install one release as a user would, first from the farm alone, then with all that it needs, and import it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from builder.inside import environment, imports
from builder.inside.tools import PIP

_REPORT = Path("/tmp/report.json")  # noqa: S108 - the sandbox's own


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Answer ``installed`` (file, URL), ``verdicts`` and ``modules`` as ``imports`` does, or the ``exit_code`` of pip.

    The environment's ALONE and WITH_OTHERS hold the variables that pip gets for the farm's index, and for both indexes.
    """
    folder, wanted = request["folder"], request["requirement"]
    alone, with_others = json.loads(os.environ.pop("ALONE")), json.loads(os.environ.pop("WITH_OTHERS"))
    environment.make(folder)
    code, installed = _install(folder, wanted, alone, "--no-deps")
    if code:
        return {"exit_code": code}
    (dist_info,) = Path(folder).glob("lib/python*/site-packages/*.dist-info")
    names, own = imports.modules(dist_info)
    code, others = _install(folder, wanted, with_others)
    if code:
        return {"exit_code": code}
    return {"installed": [*installed, *others], **imports.verdicts(folder, names, own)}


def _install(folder: str, wanted: str, variables: dict[str, str], *options: str) -> tuple[int, list[list[str]]]:
    command = [sys.executable, "-I", PIP, "--python", f"{folder}/bin/python", "install", "--only-binary", ":all:"]
    report = ["--report", str(_REPORT), "--no-cache-dir", "--no-compile", "--quiet", *options]
    done = subprocess.run([*command, *report, "--", wanted], check=False, env={**os.environ, **variables})
    if done.returncode:
        return done.returncode, []
    items = json.loads(_REPORT.read_text(encoding="utf-8"))["install"]
    _REPORT.unlink()
    return 0, [[item["metadata"]["name"], item["download_info"]["url"]] for item in items]
