"""What a machine can build for the farm, and what it lacks for that, each with the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from master.inspecting import Facts
from schema.platforms import Platform

_PYTHON = (3, 11)
_BUBBLEWRAP = (0, 8)
_DISK_BYTES = 2 * 2**30
_MEMORY_BYTES = int(1.5 * 2**30)
_CLOCK_S = 5.0
_ALSO_RUNS = {"armv7l": ("armv6l",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Something that a machine lacks; stops: whether nothing can be built without it."""

    what: str
    remedy: str
    stops: bool


def native(facts: Facts, platforms: Sequence[Platform]) -> tuple[Platform, ...]:
    """Those of the farm's *platforms* that the machine builds natively.

    Its userland says so, not its kernel: the node is a program of the userland, and so are its sandbox and tools.
    """
    runs = {facts.userland_arch, *_ALSO_RUNS.get(facts.userland_arch, ())}
    return tuple(platform for platform in platforms if platform.arch in runs)


def lacks(facts: Facts, platforms: Sequence[Platform]) -> list[Lack]:
    """Everything, the gravest first."""
    found = [*_system(facts, platforms), *_programs(facts), *_sandbox(facts), *_room(facts), *_clock(facts)]
    return sorted(found, key=lambda lack: not lack.stops)


def _system(facts: Facts, platforms: Sequence[Platform]) -> list[Lack]:
    if facts.system != "Linux":
        what = f"it runs {facts.system or 'an unknown system'}"
        return [Lack(what=what, remedy="a node needs Linux", stops=True)]
    found = []
    if not native(facts, platforms):
        arch = facts.userland_arch or "unknown"
        wanted = ", ".join(sorted({platform.arch for platform in platforms}))
        found.append(
            Lack(
                what=f"its programs are for {arch}; the farm builds for {wanted}",
                remedy=f"add a platform of {arch} to farm.platforms, or install another system",
                stops=True,
            )
        )
    if not facts.root:
        what = f"{facts.user or 'the account'} is not root, and may not become it without a password (sudo -n)"
        found.append(
            Lack(what=what, remedy="setting it up takes root: log in as root, or as who may use sudo", stops=False)
        )
    return found


def _programs(facts: Facts) -> list[Lack]:
    found = []
    if facts.python < _PYTHON:
        what = f"python3 is {dotted(facts.python)}; a node needs {dotted(_PYTHON)}"
        found.append(Lack(what=what, remedy="Debian 12, Ubuntu 24.04, Raspberry Pi OS 12, or newer", stops=True))
    if not facts.bubblewrap:
        found.append(
            Lack(
                what="bubblewrap is not installed",
                remedy="apt-get install bubblewrap",
                stops=False,
            )
        )
    elif facts.bubblewrap < _BUBBLEWRAP:
        what = f"bubblewrap is {dotted(facts.bubblewrap)}; builds need {dotted(_BUBBLEWRAP)}"
        found.append(Lack(what=what, remedy="Debian 12, Ubuntu 24.04, Raspberry Pi OS 12, or newer", stops=True))
    return found


def _sandbox(facts: Facts) -> list[Lack]:
    found = []
    if not facts.user_namespaces:
        remedy = "sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000, kept in /etc/sysctl.d"
        found.append(Lack(what="user namespaces are off", remedy=remedy, stops=True))
    if facts.apparmor_restricts:
        remedy = "install AppArmor's profile bwrap-userns-restrict (wheelfarm-node check there tells how)"
        found.append(
            Lack(what="AppArmor forbids user namespaces to programs without a profile", remedy=remedy, stops=False)
        )
    if "memory" not in facts.controllers and not facts.is_cgroup_v1:
        found.append(
            Lack(
                what="control groups (version 2) do not limit memory: it is only looked at five times a second",
                remedy=_memory_controller(facts),
                stops=False,
            )
        )
    return found


def _memory_controller(facts: Facts) -> str:
    """The last word wins, and a Raspberry Pi's firmware puts cgroup_disable=memory at the beginning."""
    file = facts.command_line_file or "the kernel's command line"
    return f"add cgroup_enable=memory at the END of the one line in {file}, then reboot"


def _room(facts: Facts) -> list[Lack]:
    found = []
    if facts.disk_free_bytes < _DISK_BYTES:
        what = f"{gib(facts.disk_free_bytes)} of disk are free below /var; a node needs {gib(_DISK_BYTES)}"
        found.append(Lack(what=what, remedy="free some, or mount a larger disk at /var/cache/wheelfarm", stops=True))
    if facts.memory_bytes + facts.swap_bytes < _MEMORY_BYTES:
        what = f"it has {gib(facts.memory_bytes)} of memory and {gib(facts.swap_bytes)} of swap"
        remedy = "2 GiB of swap (on a Raspberry Pi: CONF_SWAPSIZE=2048 in /etc/dphys-swapfile); large builds fail"
        found.append(Lack(what=what, remedy=remedy, stops=False))
    return found


def _clock(facts: Facts) -> list[Lack]:
    off_s = abs(facts.clock_s)
    if off_s <= _CLOCK_S + facts.clock_error_s:
        return []
    what = f"its clock is {off_s:.0f} s {'ahead of' if facts.clock_s > 0 else 'behind'} the master's"
    return [Lack(what=what, remedy="timedatectl set-ntp true there (apt-get install systemd-timesyncd)", stops=False)]


def gib(size_bytes: int) -> str:
    """Such as ``1.4 GiB``."""
    return f"{size_bytes / 2**30:.1f} GiB"


def dotted(version: tuple[int, ...]) -> str:
    """Such as ``3.11.2``."""
    return ".".join(map(str, version)) or "not there"
