"""Programs of other processors: this machine's own runs them, or the kernel hands them to qemu (binfmt_misc)."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from builder import process
from schema.errors import EmulationError, NodeError
from schema.names import Sha256, sha256_of
from schema.platforms import this_machine
from schema.wheels import machines

# Where the kernel tells which programs it hands to whom, and takes new orders.
BINFMT = Path("/proc/sys/fs/binfmt_misc")

# What an architecture's machines also run by themselves.
_ALSO_RUNS = {"x86_64": {"i686"}, "aarch64": {"armv7l", "armv6l"}, "armv7l": {"armv6l"}}
# qemu's names, where they are others than the kernel's.
_QEMU = {"armv7l": "arm", "armv6l": "arm", "i686": "i386"}
# The least processor that a platform promises: what needs a newer one dies in a build, or when it is imported there.
_BASELINE = {"aarch64": "cortex-a53", "armv7l": "cortex-a7", "armv6l": "arm1176"}

# The first 20 bytes of a program: magic, class, byte order, version, ABI and padding, kind (2: fixed, 3: anywhere).
_MASK_LITTLE = b"\xff" * 7 + b"\x00" * 9 + b"\xfe\xff\xff\xff"
_MASK_BIG = b"\xff" * 7 + b"\x00" * 9 + b"\xff\xfe\xff\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """A qemu that runs one architecture's programs here; version: such as ``7.2.22``, "" where it does not say."""

    program: Path
    version: str

    @property
    def sha256(self) -> Sha256:
        """Of the program."""
        return sha256_of(self.program)


def is_native(arch: str) -> bool:
    """Whether this machine's own processor runs programs of *arch*."""
    machine = this_machine()
    return arch in {machine, *_ALSO_RUNS.get(machine, ())}


def emulator(arch: str, *, binfmt: Path = BINFMT) -> Emulator | None:
    """What the kernel hands programs of *arch* to, wherever they lie; None if nothing of that kind.

    binfmt: where the kernel tells
    """
    if not binfmt.is_dir():
        return None
    for entry in sorted(binfmt.iterdir()):
        program = None if entry.name in {"register", "status"} else _interpreter(entry, arch)
        if program is not None:
            return Emulator(program=program, version=_version(program))
    return None


def need(arch: str) -> None:
    """Raise EmulationError, with what to do, unless this machine runs programs of *arch* one way or the other."""
    if is_native(arch) or emulator(arch) is not None:
        return
    raise EmulationError(
        f"this machine ({this_machine()}) does not run programs of {arch}",
        advice=f"make it on a machine of {arch}, or have qemu run them here, as root:"
        f" apt-get install qemu-user-static && wheelfarm-node emulate {arch}",
    )


def enable(arch: str, *, binfmt: Path = BINFMT) -> Emulator:
    """Have the kernel hand programs of *arch* to qemu until the machine is restarted; as root only.

    Raise EmulationError with what is missing.
    """
    if found := emulator(arch, binfmt=binfmt):
        return found
    name = _QEMU.get(arch, arch)
    program = shutil.which(f"qemu-{name}-static") or shutil.which(f"qemu-{name}")
    if program is None:
        raise EmulationError(f"there is no qemu for {arch}", advice="apt-get install qemu-user-static")
    try:
        if not (binfmt / "register").exists():
            process.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(binfmt)])
        # F: the kernel opens qemu now, so that it is found from inside of images too.
        order = b":".join((b"", f"wheelfarm-{arch}".encode(), b"M", b"", *_magic(arch), os.fsencode(program), b"F"))
        (binfmt / "register").write_bytes(order)
    except (OSError, NodeError) as err:
        raise EmulationError(f"the kernel does not take qemu for {arch}: {err}", advice="do it as root") from err
    if (made := emulator(arch, binfmt=binfmt)) is None:
        raise EmulationError(f"the kernel took qemu for {arch}, but does not use it")
    return made


def variables(arch: str) -> dict[str, str]:
    """What an emulator of *arch* must be told: which processor to be."""
    return {"QEMU_CPU": _BASELINE[arch]} if arch in _BASELINE else {}


def fields(arch: str) -> tuple[bytes, bytes]:
    """The beginning of a program of *arch*, and which of its bits count."""
    machine, bits, byte_order = machines.identity(arch)
    little = byte_order == "<"
    number = (2).to_bytes(2, "little" if little else "big") + machine.to_bytes(2, "little" if little else "big")
    magic = b"\x7fELF" + bytes((bits // 32, 1 if little else 2, 1)) + bytes(9) + number
    return magic, _MASK_LITTLE if little else _MASK_BIG


def _interpreter(entry: Path, arch: str) -> Path | None:
    """The program of an entry that is in force, everywhere, for all programs of *arch*."""
    try:
        told = dict(line.partition(" ")[::2] for line in entry.read_text(encoding="ascii").splitlines())
    except (OSError, UnicodeDecodeError):
        return None
    magic, _ = fields(arch)
    fits = "enabled" in told and "F" in told.get("flags:", "") and told.get("magic", "").startswith(magic[:14].hex())
    return Path(told["interpreter"]).resolve() if fits and told["magic"][36:40] == magic[18:].hex() else None


def _magic(arch: str) -> tuple[bytes, bytes]:
    """Magic and mask as the kernel reads them."""
    magic, mask = fields(arch)
    return tuple("".join(f"\\x{byte:02x}" for byte in text).encode() for text in (magic, mask))  # type: ignore[return-value]


def _version(program: Path) -> str:
    try:
        found = re.search(r"version (\d[\w.]*)", process.run([str(program), "--version"], timeout_s=20))
    except NodeError:
        return ""
    return found[1] if found else ""
