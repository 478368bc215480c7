"""The compiled files of a wheel against its tags: machine, baseline, libraries, names of extensions (A-13 … A-15)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from packaging.tags import Tag

from schema.platforms import Platform
from schema.wheels import arm, platform_tag
from schema.wheels.elf import EXECUTABLE, SHARED, Elf
from schema.wheels.finding import Finding, grouped

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
}

# GPU and kernel code travels as ELF too, and runs on no processor that a tag could name: it is data here.
_DEVICE_MACHINES = frozenset({190, 224, 247})  # CUDA, AMD GPU, BPF

_ARM_EABI5, _ARM_EABI_MASK, _ARM_HARD, _ARM_SOFT = 0x5000000, 0xFF000000, 0x400, 0x200
_ARMV6_CPU_ARCHS = frozenset({*range(8), 9})  # up to v6KZ, and v6K; 8 is v6T2, from 10 on it is v7
_RISCV_FLOAT_ABI, _RISCV_DOUBLE = 0x6, 0x4
_PPC64_ABI, _PPC64_ELFV2 = 0x3, 0x2
_X86_BASELINE = 1

_EXTENSION = re.compile(r"\.(?:(?P<abi3>abi3t?)|cpython-3(?P<minor>\d+)(?P<threads>t?)(?:-(?P<triple>[\w-]+))?)\.so")
_FOREIGN_EXTENSION = re.compile(r"\.(?:cpython|pypy|graalpy)[\w-]*\.so")


def arch_of(tag: str) -> str | None:
    """The architecture of a Linux platform tag; None for any other."""
    if not tag.startswith(("linux_", "manylinux", "musllinux_")):
        return None
    return next((arch for arch in _MACHINES if tag.endswith(f"_{arch}")), None)


def multiarch(arch: str) -> str:
    """The triple of an architecture's own folder of libraries, such as ``aarch64-linux-gnu``."""
    return _MACHINES[arch][3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """One member that begins like ELF; *elf* is None, and *fault* says why, if it cannot be read."""

    name: str
    elf: Elf | None = None
    fault: str = ""

    @property
    def is_device_code(self) -> bool:
        """Whether it is for a GPU or for the kernel, not for a processor."""
        return self.elf is not None and self.elf.machine in _DEVICE_MACHINES


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """All compiled files of one wheel, its tags, and where it shall run."""

    binaries: Sequence[Binary]
    tags: frozenset[Tag]
    platform: Platform

    @property
    def loadable(self) -> Iterator[tuple[str, Elf]]:
        """Programs and shared libraries; object files are material for a linker."""
        yield from loadable(self.binaries)

    @property
    def bundled(self) -> frozenset[str]:
        """Names under which the wheel's own libraries are found."""
        return bundled(self.binaries)

    @property
    def needed(self) -> tuple[str, ...]:
        """Libraries that the wheel needs and does not have."""
        needed = {library for _, elf in self.loadable for library in elf.needed}
        return tuple(sorted(library for library in needed - self.bundled if not platform_tag.is_loader(library)))

    @property
    def external(self) -> tuple[str, ...]:
        """Those of them that no manylinux policy promises either."""
        policy = platform_tag.newest_policy(self.platform.arch)
        promised = policy.libraries if policy else frozenset()
        return tuple(library for library in self.needed if library not in promised)


def loadable(binaries: Iterable[Binary]) -> Iterator[tuple[str, Elf]]:
    """Programs and shared libraries with their names; object files are material for a linker."""
    for binary in binaries:
        if binary.elf is not None and not binary.is_device_code and binary.elf.kind in (EXECUTABLE, SHARED):
            yield binary.name, binary.elf


def bundled(binaries: Iterable[Binary]) -> frozenset[str]:
    """Names under which a wheel's own libraries are found."""
    found = set()
    for name, elf in loadable(binaries):
        found |= {name.rpartition("/")[2], elf.soname or ""}
    return frozenset(found - {""})


def is_extension(name: str) -> bool:
    """Whether a file is named as an extension module for CPython."""
    base = name.rpartition("/")[2]
    match = _EXTENSION.search(base)
    return match is not None and match.end() == len(base)


def findings(compiled: Compiled, *, is_pure: bool) -> Iterator[Finding]:
    """Every way in which the compiled files make the tags, or *is_pure* (Root-Is-Purelib), untrue."""
    for binary in compiled.binaries:
        if binary.elf is None:
            yield Finding(rule="A-13", text=f"{binary.name!r} is a malformed ELF file: {binary.fault}")
        elif not binary.is_device_code:
            for text in _machine_faults(binary.elf, compiled.platform.arch):
                yield Finding(rule="A-13", text=f"{binary.name!r} {text}")
    yield from _purity_findings(compiled, is_pure=is_pure)
    yield from _baseline_findings(compiled)
    yield from _abi_findings(compiled)


def _machine_faults(elf: Elf, arch: str) -> Iterator[str]:
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
    if "/ld-musl-" in (elf.interpreter or "") or any(name.startswith("libc.musl-") for name in elf.needed):
        yield "is linked to musl's C library"


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


def _purity_findings(compiled: Compiled, *, is_pure: bool) -> Iterator[Finding]:
    native = [binary.name for binary in compiled.binaries if not binary.is_device_code]
    platforms = {tag.platform for tag in compiled.tags}
    if not native and platforms != {"any"}:
        yield Finding(
            rule="A-13",
            text=f"reduced build: tagged {', '.join(sorted(platforms - {'any'}))}, but no file in it is compiled; "
            "an optional extension was left out, or the project should be tagged none-any",
        )
    if native and "any" in platforms:
        yield Finding(rule="A-15", text=f"tagged for any platform, but {native[0]!r} is compiled")
    if native and is_pure:
        yield Finding(rule="A-15", text=f"Root-Is-Purelib is true, but {native[0]!r} is compiled")
    for name in native:
        if name.split("/")[1:2] == ["purelib"] and name.partition("/")[0].endswith(".data"):
            yield Finding(rule="A-15", text=f"{name!r} is compiled and lies in purelib")
    if not native and any(tag.abi != "none" for tag in compiled.tags) and "any" in platforms:
        yield Finding(rule="A-14", text="the ABI tag is not none, but no file is compiled")


def _baseline_findings(compiled: Compiled) -> Iterator[Finding]:
    """Each policy that a tag claims, once; else, for linux_*, what the release itself has."""
    claimed: dict[tuple[int, int], str] = {}
    for tag in sorted({tag.platform for tag in compiled.tags}):
        glibc = platform_tag.claimed_glibc(tag)
        if glibc is not None:
            claimed.setdefault(glibc, tag)
    told: set[tuple[str, str]] = set()
    bundled = compiled.bundled
    for glibc, tag in sorted(claimed.items()):
        policy = platform_tag.policy_for(glibc, compiled.platform.arch)
        if policy is None:
            yield Finding(rule="A-13", text=f"no policy says what {tag} may rely on")
            continue
        faults = [
            (text, name)
            for name, elf in compiled.loadable
            for text in platform_tag.beyond(elf, policy, bundled)
            if (text, name) not in told  # what an older tag forbids is said once
        ]
        told.update(faults)
        for text in grouped(faults):
            yield Finding(rule="A-13", text=f"beyond {tag}: {text}")
    newer = [
        (text, name) for name, elf in compiled.loadable for text in platform_tag.beyond_release(elf, compiled.platform)
    ]
    for text in grouped(newer):
        yield Finding(rule="A-13", text=text)


def _abi_findings(compiled: Compiled) -> Iterator[Finding]:
    triple = _MACHINES[compiled.platform.arch][3]
    for name, elf in compiled.loadable:
        base = name.rpartition("/")[2]
        match = _EXTENSION.search(base)
        if match is None or match.end() != len(base):
            if _FOREIGN_EXTENSION.search(base):
                yield Finding(rule="A-14", text=f"{name!r} is an extension of another interpreter")
            continue
        if elf.kind != SHARED:
            yield Finding(rule="A-13", text=f"{name!r} is named as an extension but is no shared object")
        if match["triple"] not in (None, triple):
            yield Finding(rule="A-14", text=f"{name!r} is named for {match['triple']}, not for {triple}")
        if not _serves(match, compiled.tags):
            yield Finding(rule="A-14", text=f"{name!r} does not fit the ABI tags {_abis(compiled.tags)}")


def _serves(extension: re.Match[str], tags: Iterable[Tag]) -> bool:
    """Whether an extension of that name can be loaded where *tags* say that the wheel runs.

    A stable-ABI one must serve all of them; a wheel for several interpreters has others for the rest.
    """
    if extension["abi3"]:
        return all(_takes_stable_abi(tag, threads=extension["abi3"] == "abi3t") for tag in tags)
    own = f"cp3{extension['minor']}"
    return any(tag.abi == own + extension["threads"] or (tag.abi == "none" and tag.interpreter == own) for tag in tags)


def _takes_stable_abi(tag: Tag, *, threads: bool) -> bool:
    if threads:
        return tag.abi in ("abi3t", "abi3") or tag.abi.endswith("t")
    is_threaded = tag.abi == "abi3t" or (tag.abi.startswith("cp") and tag.abi.endswith("t"))
    return tag.interpreter.startswith("cp") and not is_threaded


def _abis(tags: Iterable[Tag]) -> str:
    return ", ".join(sorted({f"{tag.interpreter}-{tag.abi}" for tag in tags}))
