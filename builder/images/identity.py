"""What a root file system really is, whatever it is called: its interpreter's machine, and what that says inside."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import interpreters, sandbox
from builder.bubblewrap import NOBODY
from builder.log import Log
from builder.plain import plain
from builder.rootfs import Root
from builder.sandbox import Sandbox
from schema.errors import ImageError, JobError, NodeError
from schema.jobs import Limits
from schema.platforms import Platform
from schema.wheels import elf, machines

_WITHIN_S = 300.0
_MOST_PACKAGES, _LONGEST = 20_000, 200
# Runs with the image's interpreter, and prints one JSON object; lists of packages as whoever installed them has them.
_SCRIPT = r"""
import json, platform, subprocess, sys

def listed(*argv):
    try:
        said = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    rows = (line.split("\t") for line in said.decode(errors="replace").splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}

told = {}
try:
    with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
        told = {key: value.strip("\"'") for key, _, value in (line.strip().partition("=") for line in file)}
except OSError:
    pass
packages = listed("dpkg-query", "--show", "--showformat=${Package}\t${Version}\n")
packages = packages or listed("rpm", "-qa", "--queryformat", "%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n")
print(json.dumps({
    "implementation": platform.python_implementation(), "python": platform.python_version(),
    "id": told.get("ID", ""), "version": told.get("VERSION_ID", ""), "packages": packages,
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a root says of itself; python: the full version; packages: package → version, none where nobody knows."""

    python: str
    packages: dict[str, str]


def check_machine(root: Path, platform: Platform) -> None:
    """Raise ImageError unless the root's interpreter runs on every machine of *platform*.

    An archive may be for other machines than its name says: Debian's armhf needs ARMv7, Raspbian's does not.
    """
    with Root(root) as opened:
        try:
            with opened.open("usr/bin/python3") as file:
                found = list(machines.faults(elf.read(file), platform.arch))
        except FileNotFoundError as err:
            raise ImageError(f"the image {platform.view} has no /usr/bin/python3 of its own") from err
        except (OSError, ValueError) as err:
            raise ImageError(f"the interpreter of the image {platform.view} cannot be read: {err}") from err
    if found:
        raise ImageError(
            f"this is no image of {platform.view}: its interpreter {found[0]}",
            advice="make it where the package sources are those of " + platform.distribution.title,
        )


def ask(root: Path, platform: Platform, variables: Mapping[str, str]) -> Told:
    """Have the root's interpreter tell; raise ImageError if it is of another distribution, release or interpreter.

    variables: what programs in it must be told
    """
    told = _read(said(root, platform, [interpreters.OWN, "-I", "-c", _SCRIPT], variables), platform)
    identity = told["id"], told["version"]
    if identity != platform.distribution.identity:
        found, wanted = (" ".join(item).strip() or "nothing" for item in (identity, platform.distribution.identity))
        raise ImageError(f"this is no image of {platform.view}: its /etc/os-release says {found}, not {wanted}")
    if told["implementation"] != "CPython" or not _is_of(told["python"], platform):
        raise ImageError(
            f"this is no image of {platform.view}: its python3 is {told['implementation']} {told['python']},"
            f" not CPython {'.'.join(map(str, platform.python_version))}"
        )
    return Told(python=told["python"], packages=told["packages"])


def said(root: Path, platform: Platform, argv: Sequence[str], variables: Mapping[str, str]) -> str:
    """What a program prints in the sandbox of *root*, to be read as hostile; raise ImageError unless it ends well."""
    with tempfile.TemporaryDirectory(prefix="wheelfarm-") as folder:
        log = Log(Path(folder) / "log", limit_bytes=4 * 2**20)
        try:
            finished = sandbox.run(
                Sandbox(root=root, environment=variables, uid=NOBODY if os.geteuid() == 0 else None),
                argv,
                limits=Limits(memory_bytes=2**30, silence_s=_WITHIN_S),
                log=log,
                deadline=time.monotonic() + _WITHIN_S,
                cancelled=threading.Event(),
            )
        except (NodeError, JobError) as err:
            raise ImageError(f"nothing runs in the image {platform.image}: {err}") from err
        told = log.tail(4 * 2**20)
    if finished.exit_code:
        raise ImageError(f"the interpreter of the image {platform.image} does not work: {plain(told[-500:])}")
    return told


def _read(answer: str, platform: Platform) -> dict[str, Any]:
    """What the root says is as hostile as the root."""
    try:
        told = json.loads(answer.splitlines()[-1])
        texts = {key: plain(str(told[key]), limit=_LONGEST) for key in ("implementation", "python", "id", "version")}
        packages = {_short(name): _short(version) for name, version in told["packages"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as err:
        raise ImageError(f"what the image {platform.view} says of itself makes no sense: {plain(repr(err))}") from err
    if len(packages) > _MOST_PACKAGES:
        raise ImageError(f"the image {platform.view} says that it has {len(packages)} packages")
    return {**texts, "packages": packages}


def _short(text: str) -> str:
    return plain(str(text), limit=_LONGEST)


def _is_of(python: str, platform: Platform) -> bool:
    return python.split(".")[:2] == [str(part) for part in platform.python_version]
