"""The processors that Linux tags name: what an ELF file must be to run on each, and what only newer ones run (A-13)."""

from __future__ import annotations

from collections.abc import Iterator

from schema.wheels import arm
from schema.wheels.elf import EXECUTABLE, SHARED, Elf

_EM_ARM, _EM_RISCV, _EM_PPC64 = 40, 243, 21

# Architecture → ELF's machine, class, byte order, and the multiarch triple in the file names of extensions.
_MACHINES = {
    "x86_64": (62, 64, "<", "x86_64-linux-gnu"),
    "i686": (3, 32, "<", "i386-linux-gnu"),
    "aarch64": (183, 64, "<", "aarch64-linux-gnu"),
    "armv7l": (_EM_ARM, 32, "<", "arm-linux-gnueabihf"),
    "armv6l": (_EM_ARM, 32, "<", "arm-linux-gnueabihf"),
    "riscv64": (_EM_RISCV, 64, "<", "riscv64-linux-gnu"),
    "ppc64le": (_EM_PPC64, 64, "<", "powerpc64le-linux-gnu"),
    "s390x": (22, 64, ">", "s390x-linux-gnu"),
    "loongarch64": (258, 64, "<", "loongarch64-linux-gnu"),
}
ARCHITECTURES = tuple(_MACHINES)

# GPU and kernel code travels as ELF too, and runs on no processor that a tag could name: it is data here.
_DEVICE_MACHINES = frozenset({190, 224, 247})  # CUDA, AMD GPU, BPF

_ARM_EABI5, _ARM_EABI_MASK, _ARM_HARD, _ARM_SOFT = 0x5000000, 0xFF000000, 0x400, 0x200
_ARMV6_CPU_ARCHS = frozenset({*range(8), 9})  # up to v6KZ, and v6K; 8 is v6T2, from 10 on it is v7
_RISCV_FLOAT_ABI, _RISCV_DOUBLE = 0x6, 0x4
_PPC64_ABI, _PPC64_ELFV2 = 0x3, 0x2
_X86_BASELINE = 1


def multiarch(arch: str) -> str:
    """The triple of an architecture's own folder of libraries, and in the file names of its extensions."""
    return _MACHINES[arch][3]


def identity(arch: str) -> tuple[int, int, str]:
    """ELF's machine, the bits of its class, and its byte order (``<`` or ``>``) of an architecture's programs."""
    machine, bits, byte_order, _ = _MACHINES[arch]
    return machine, bits, byte_order


def is_device(elf: Elf) -> bool:
    """Whether a file is for a GPU or for the kernel, not for a processor."""
    return elf.machine in _DEVICE_MACHINES


def faults(elf: Elf, arch: str) -> Iterator[str]:
    """Why a file does not run on every machine of one of ARCHITECTURES, a sentence each."""
    machine, bits, byte_order, _ = _MACHINES[arch]
    if (elf.machine, elf.bits, elf.byte_order) != (machine, bits, byte_order):
        yield f"is for machine {elf.machine} with {elf.bits} bits, not for {arch}"
    elif elf.kind not in (EXECUTABLE, SHARED):
        return
    elif machine == _EM_ARM:
        yield from _arm_faults(elf, arch)
    elif machine == _EM_RISCV and elf.flags & _RISCV_FLOAT_ABI != _RISCV_DOUBLE:
        yield "does not pass floating-point numbers as lp64d does"
    elif machine == _EM_PPC64 and elf.flags & _PPC64_ABI not in (0, _PPC64_ELFV2):
        yield "is not of the ELFv2 ABI"
    elif elf.x86_isa & ~_X86_BASELINE:
        yield f"says that it needs x86-64-v{elf.x86_isa.bit_length()}, which not every {arch} machine has"


def _arm_faults(elf: Elf, arch: str) -> Iterator[str]:
    """EABI5 with hard float, and nothing of ARMv7 for ARMv6: no client looks, the program just dies."""
    if elf.flags & _ARM_EABI_MASK != _ARM_EABI5:
        yield f"is not EABI5 (flags {elf.flags:#x})"
    if elf.flags & _ARM_SOFT or not (elf.flags & _ARM_HARD or elf.arm.get(arm.VFP_ARGS) == 1):
        yield "is soft-float, but the platform is hard-float"
    if any(name.startswith("ld-linux.so.3") for name in (*elf.needed, (elf.interpreter or "").rpartition("/")[2])):
        yield "asks for the loader of soft-float systems"
    if arch == "armv6l" and elf.arm.get(arm.CPU_ARCH, 0) not in _ARMV6_CPU_ARCHS:
        yield f"is made for a processor after ARMv6 (Tag_CPU_arch {elf.arm[arm.CPU_ARCH]})"
    if arch == "armv6l" and elf.arm.get(arm.ADVANCED_SIMD, 0):
        yield "uses NEON, which ARMv6 lacks"
