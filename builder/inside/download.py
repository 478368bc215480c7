"""Resolve build requirements to wheels and fetch them: the one command with network, and never beside an sdist."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from builder.inside.tools import PIP

# For markers; which wheels fit, pip is told by options.
_AS_MACHINE = """
import platform, runpy, sys
machine = sys.argv[1]
platform.machine = lambda: machine
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_CONSTRAINTS = Path("/tmp/constraints.txt")  # noqa: S108 - the sandbox's own


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Fetch the wheels of ``requirements`` and all that these need into ``into``; answer pip's exit code.

    Only wheels: preparing an sdist would run its code. The interpreter is the image's: markers and tags are right.
    foreign: the ``machine``, the ``python`` and the ``platforms`` (of tags) of another architecture that they are for
    before: an ISO 8601 time, after which uploads do not count; links: a folder of further wheels; file_bytes: no file
    becomes larger. Each may be None.
    """
    foreign = request["foreign"]
    pip = [PIP] if foreign is None else ["-c", _AS_MACHINE, foreign["machine"], PIP]
    command = [sys.executable, "-I", *pip, "download", "--only-binary", ":all:", "--dest", request["into"]]
    _CONSTRAINTS.write_text("\n".join(request["constraints"]), encoding="utf-8")
    options = ["--cache-dir", request["cache"], "--constraint", str(_CONSTRAINTS), "--retries", "2"]
    for option, value in (("--uploaded-prior-to", request["before"]), ("--find-links", request["links"])):
        options += [option, value] if value else []
    if foreign is not None:
        options += ["--python-version", foreign["python"], *(f"--platform={item}" for item in foreign["platforms"])]
    if request["file_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], request["file_bytes"]))
    done = subprocess.run([*command, *options, "--", *request["requirements"]], check=False)
    return {"exit_code": done.returncode}
