"""Load each compiled file of a wheel with the image's own dynamic linker, whichever interpreter it is for.

Functions are bound when they are called (RTLD_LAZY), so what only the wheel's own interpreter has is not asked for;
data is bound at once, and what is missing of that under an interpreter's name is the interpreter's business.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from builder.inside import environment

_MOST_FILES = 200
_PER_FILE_S = 60
_REASON_CHARACTERS = 500
# ctypes.CDLL itself always binds everything at once (RTLD_NOW).
_LOAD = """
import ctypes, os, re, sys
linker = ctypes.CDLL(None)
linker.dlopen.restype, linker.dlerror.restype = ctypes.c_void_p, ctypes.c_char_p
if not linker.dlopen(os.fsencode(sys.argv[1]), os.RTLD_LAZY):
    reason = linker.dlerror().decode(errors="replace")
    if not re.search(r"undefined symbol: _?Py", reason):
        os.write(1, reason.encode())
os._exit(0)
"""


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Answer ``files``, how many were loaded, and ``broken``: why the first that does not load does not, or ""."""
    folder = request["folder"]
    environment.make(folder)
    environment.install(folder, [request["wheel"]], failure_class="import")
    files = sorted(path for path in environment.site_packages(folder).rglob("*") if _is_shared(path))[:_MOST_FILES]
    reasons = (f"{path.name}: {reason}" for path in files if (reason := _load(path)))
    return {"files": len(files), "broken": next(reasons, "")}


def _is_shared(path: Path) -> bool:
    """Whether it is an ELF file by its first bytes, and one by its name that is loaded."""
    if path.is_symlink() or not path.is_file() or ".so" not in path.name:
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _load(path: Path) -> str:
    """Why it does not load; "" if it does. In a process of its own: what it does when it is loaded may end it."""
    print(f"loading {path.name}", flush=True)
    command = [sys.executable, "-I", "-c", _LOAD, os.fspath(path)]
    try:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, cwd="/", timeout=_PER_FILE_S)
    except subprocess.TimeoutExpired:
        return f"did not load within {_PER_FILE_S} s"
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    return done.stdout.decode(errors="replace")[:_REASON_CHARACTERS]
