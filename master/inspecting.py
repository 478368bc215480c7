"""Ask a machine over SSH what it is: one small script for any POSIX sh, and what it prints is not believed blindly."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import paramiko

from master.ssh import limited, reaching
from master.targets import Target
from schema.errors import UnreachableError
from schema.platforms import DEBIAN_ARCHITECTURES
from schema.printable import one_line
from schema.wheels import machines

_SCRIPT = Path(__file__).with_name("inspecting.sh")
_MOST_BYTES = 64 * 1024
_MOST_CHARACTERS = 200
_LIMIT_S = 30.0
_LINE = re.compile(r"([a-z_0-9]{1,30})=(.*)")
_DIGITS = re.compile(r"[0-9]{1,15}")
_VERSION = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){1,3}")

# Of an ELF file: where the class and the machine stand, and what they mean (as wheels name it).
_ELF_MAGIC, _ELF_HEAD = b"\x7fELF", 40
_MACHINES = {machines.identity(arch)[0]: arch for arch in DEBIAN_ARCHITECTURES}
_HARD_FLOAT = 0x400


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a machine says of itself; "" and 0 where it does not say, or says nonsense.

    kernel_arch, userland_arch: as wheels name them; userland: of its own programs, by the header of its sh
    controllers: of control groups, version 2; command_line: the words of the kernel's that concern control groups
    clock_s: how far its clock is ahead of ours, in seconds; clock_error_s: how much of that may be the way there
    root: whether the account is root or may become it without a password
    """

    system: str
    release: str
    model: str
    kernel: str
    kernel_arch: str
    userland_arch: str
    libc: str
    cores: int
    memory_bytes: int
    swap_bytes: int
    disk_free_bytes: int
    controllers: tuple[str, ...]
    is_cgroup_v1: bool
    command_line: str
    command_line_file: str
    user_namespaces: bool
    apparmor_restricts: bool
    python: tuple[int, ...]
    bubblewrap: tuple[int, ...]
    clock_s: float
    clock_error_s: float
    user: str
    root: bool


def inspect(transport: paramiko.Transport, target: Target) -> Facts:
    """Run the script on a machine that is logged in to; raise UnreachableError."""
    asked_at = time.time()
    said = _run(transport, target, _SCRIPT.read_bytes())
    answered_at = time.time()
    told = parse(said)
    if told.get("end") != "yes":
        begun = one_line(said.decode("utf-8", "replace"), limit=_MOST_CHARACTERS) or "nothing"
        raise UnreachableError(
            f"{target} could not be inspected; it said: {begun}",
            advice=f"does this account get a shell? try: ssh {target.user}@{target.host} sh",
        )
    return facts(told, asked_at=asked_at, answered_at=answered_at)


def parse(said: bytes) -> dict[str, str]:
    """The facts by name; of two of one name the first, which the script itself has printed, holds."""
    told: dict[str, str] = {}
    for line in said[:_MOST_BYTES].decode("utf-8", "replace").split("\n"):
        if found := _LINE.fullmatch(line.rstrip("\r")):
            told.setdefault(found[1], one_line(found[2], limit=_MOST_CHARACTERS))
    return told


def facts(told: Mapping[str, str], *, asked_at: float, answered_at: float) -> Facts:
    """What was told, with types; the clock is compared with the time between question and answer (POSIX, seconds)."""

    def number(name: str) -> int:
        return int(told.get(name, "")) if _DIGITS.fullmatch(told.get(name, "")) else 0

    clock = number("clock")
    return Facts(
        system=told.get("system", ""),
        release=told.get("release", ""),
        model=told.get("model", ""),
        kernel=told.get("kernel", ""),
        kernel_arch={"armv8l": "armv7l"}.get(told.get("kernel_arch", ""), told.get("kernel_arch", "")),
        userland_arch=_userland(told),
        libc=told.get("libc", ""),
        cores=number("cores"),
        memory_bytes=number("memory_kib") * 1024,
        swap_bytes=number("swap_kib") * 1024,
        disk_free_bytes=number("disk_kib") * 1024,
        controllers=tuple(told.get("controllers", "").split()),
        is_cgroup_v1="memory" in told.get("controllers_v1", "").split(),
        command_line=told.get("command_line", ""),
        command_line_file=told.get("command_line_file", ""),
        user_namespaces=told.get("max_userns") != "0" and told.get("unprivileged_userns") != "0",
        apparmor_restricts=told.get("apparmor_userns") == "1",
        python=_version(told.get("python", "")),
        bubblewrap=_version(told.get("bubblewrap", "")),
        clock_s=clock - (asked_at + answered_at) / 2 if clock else 0.0,
        clock_error_s=(answered_at - asked_at) / 2 + 1,  # it tells whole seconds
        user=told.get("user", ""),
        root=told.get("root") in {"yes", "sudo"},
    )


def _userland(told: Mapping[str, str]) -> str:
    """By the header of the machine's own sh: a 32-bit system on a 64-bit kernel is usual on a Raspberry Pi."""
    try:
        head = bytes.fromhex(told.get("elf", ""))
    except ValueError:
        head = b""
    if len(head) < _ELF_HEAD or not head.startswith(_ELF_MAGIC):
        return ""
    order: Literal["little", "big"] = "little" if head[5] == 1 else "big"
    arch = _MACHINES.get(int.from_bytes(head[18:20], order), "")
    if arch not in {"armv6l", "armv7l"}:
        return arch
    if not int.from_bytes(head[36:40], order) & _HARD_FLOAT:
        return "armel"
    # The file does not tell whether it is Raspberry Pi OS for the first Pis, whose kernel does.
    return "armv6l" if told.get("kernel_arch") == "armv6l" else "armv7l"


def _version(text: str) -> tuple[int, ...]:
    found = _VERSION.search(text)
    return tuple(map(int, found[0].split("."))) if found else ()


def _run(transport: paramiko.Transport, target: Target, script: bytes) -> bytes:
    """What ``sh`` prints when it is given the script; at most so much, and for so long."""
    said = bytearray()
    with reaching(target), limited(transport, _LIMIT_S):
        channel = transport.open_session(timeout=_LIMIT_S)
        channel.settimeout(_LIMIT_S)
        channel.set_combine_stderr(True)  # what nobody reads would pile up
        channel.exec_command("sh")
        channel.sendall(script)
        channel.shutdown_write()
        while len(said) < _MOST_BYTES and (piece := channel.recv(_MOST_BYTES - len(said))):
            said += piece
    return bytes(said)
