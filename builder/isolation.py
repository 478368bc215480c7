"""What this machine can do to hold a build, tried and not guessed; and what is missing, with the remedy."""

from __future__ import annotations

import os
import platform as machine
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from builder import process, seccomp
from builder.bubblewrap import NOBODY
from builder.limits import cgroup
from builder.workspace import loop_devices_work
from schema.errors import NodeError

# The first bubblewrap that can forbid a sandbox to make user namespaces of its own (--disable-userns).
_BUBBLEWRAP = (0, 8, 0)
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_DEBIAN_SWITCH = Path("/proc/sys/kernel/unprivileged_userns_clone")
_PROGRAMS = {
    "prlimit": "builds",
    "setpriv": "builds",
    "du": "builds",
    "mmdebstrap": "images",
    "apt-get": "images",
    "dpkg-deb": "images",
}
_TRY = (
    "bwrap",
    "--unshare-all",
    "--unshare-user",
    "--disable-userns",
    "--assert-userns-disabled",
    "--die-with-parent",
    "--new-session",
    "--cap-drop",
    "ALL",
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "true",
)


@lru_cache(maxsize=1)
def probe() -> dict[str, str]:
    """What isolates builds here; goes into each attestation and to the master.

    memory, processes: cgroup2, cgroup1, or watchdog (looks five times a second) and rlimit
    disk: loop (a file system for each job) or watchdog
    seccomp: filter or none; user: other (than ours) or same
    """
    where = cgroup.hierarchies()
    group = f"cgroup{where.version}"
    return {
        "sandbox": f"bubblewrap {'.'.join(map(str, _bubblewrap_version()))}",
        "memory": group if where.memory else "watchdog",
        "processes": group if where.pids else "rlimit",
        "disk": "loop" if loop_devices_work() else "watchdog",
        "seccomp": "filter" if seccomp.program() else "none",
        "user": "other" if os.geteuid() == 0 else "same",
        "kernel": machine.release(),
        # PyNaCl 1.3 asks for 128 TiB in a test, and gets them where this is 1.
        "overcommit_memory": _text(Path("/proc/sys/vm/overcommit_memory")),
    }


def problems() -> list[str]:
    """What keeps this machine from building, each with its remedy; empty if nothing does."""
    missing = [
        f"{program} is not installed, and {purpose} need it: apt-get install {process.package_of(program)}"
        for program, purpose in _PROGRAMS.items()
        if shutil.which(program) is None
    ]
    if shutil.which("bwrap") is None:
        return [*missing, "bwrap is not installed, and builds need it: apt-get install bubblewrap"]
    if _bubblewrap_version() < _BUBBLEWRAP:
        found, needed = (".".join(map(str, version)) for version in (_bubblewrap_version(), _BUBBLEWRAP))
        return [*missing, f"bubblewrap {found} is too old: builds need {needed} (Debian 12, Ubuntu 24.04, or newer)"]
    return [*missing, *_sandbox_problems()]


def _sandbox_problems() -> list[str]:
    """Start an empty sandbox as a user without rights; where it does not start, say which switch is off."""
    user = NOBODY if os.geteuid() == 0 else None
    tried = subprocess.run(
        _TRY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd="/",
    )
    if tried.returncode == 0:
        return []
    if _text(_APPARMOR) == "1":
        remedy = (
            "AppArmor forbids it: install its profile for bubblewrap (apt-get install apparmor-profiles, then"
            " ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ and"
            " systemctl reload apparmor)"
        )
    elif _text(_DEBIAN_SWITCH) == "0":
        remedy = "user namespaces are off: sysctl kernel.unprivileged_userns_clone=1"
    elif _text(Path("/proc/sys/user/max_user_namespaces")) == "0":
        remedy = "user namespaces are off: sysctl user.max_user_namespaces=15000"
    else:
        remedy = "in a container, allow user namespaces and an unmasked /proc"
    return [f"a sandbox does not start ({tried.stderr.strip() or 'no reason given'}); {remedy}"]


@lru_cache(maxsize=1)
def _bubblewrap_version() -> tuple[int, ...]:
    try:
        said = process.run(["bwrap", "--version"])
    except NodeError:
        return ()
    return tuple(map(int, re.findall(r"\d+", said)))[:3]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
