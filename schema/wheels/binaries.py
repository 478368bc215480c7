"""The compiled files of a wheel: what they are called, what they need, and what the wheel itself has of that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.tags import Tag

from schema.platforms import Distribution
from schema.wheels import machines, platform_tag
from schema.wheels.elf import EXECUTABLE, SHARED, Elf
from schema.wheels.platform_tag import Fit

_EXTENSION = re.compile(r"\.(?:(?P<abi3>abi3t?)|cpython-3(?P<minor>\d+)(?P<flags>[a-z]*)(?:-(?P<triple>[\w-]+))?)\.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """One member that begins like ELF; *elf* is None, and *fault* says why, if it cannot be read."""

    name: str
    elf: Elf | None = None
    fault: str = ""

    @property
    def is_device_code(self) -> bool:
        """Whether it is for a GPU or for the kernel, not for a processor."""
        return self.elf is not None and machines.is_device(self.elf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """All compiled files of one wheel, its tags, and where it shall run.

    arch: empty where no tag names one
    release: the one that a ``linux_*`` wheel is for; None if that is not said
    elsewhere: libraries that count as if the wheel had them
    """

    binaries: Sequence[Binary]
    tags: frozenset[Tag]
    arch: str
    release: Distribution | None = None
    elsewhere: frozenset[str] = frozenset()

    @property
    def loadable(self) -> Iterator[tuple[str, Elf]]:
        """Programs and shared libraries; object files are material for a linker."""
        for binary in self.binaries:
            if binary.elf is not None and not binary.is_device_code and binary.elf.kind in (EXECUTABLE, SHARED):
                yield binary.name, binary.elf

    @property
    def bundled(self) -> frozenset[str]:
        """Names under which the wheel's own libraries are found."""
        names = {name.rpartition("/")[2] for name, _ in self.loadable}
        return self.elsewhere | names | {elf.soname for _, elf in self.loadable if elf.soname}

    @property
    def platforms(self) -> frozenset[str]:
        """The platform tags."""
        return frozenset(tag.platform for tag in self.tags)

    @property
    def is_for_glibc(self) -> bool:
        """Whether a tag, or the release, promises that it runs with glibc: ``linux_*`` alone says nothing."""
        return self.release is not None or any(map(platform_tag.claimed_glibc, self.platforms))

    @property
    def is_for_musl(self) -> bool:
        """Whether a tag promises that it runs with musl."""
        return any(tag.startswith("musllinux_") for tag in self.platforms)

    @property
    def is_linked_to_musl(self) -> bool:
        """Whether a file needs musl's C library."""
        return any(is_musl(elf) for _, elf in self.loadable)

    @property
    def fits(self) -> tuple[Fit, ...]:
        """How its files stand to each manylinux policy; empty where there is none for them."""
        if self.is_linked_to_musl:
            return ()
        return platform_tag.fits([elf for _, elf in self.loadable], self.arch, self.bundled)

    @property
    def needed(self) -> tuple[str, ...]:
        """Libraries that the wheel needs and does not have."""
        needed = {library for _, elf in self.loadable for library in elf.needed}
        return tuple(sorted(library for library in needed - self.bundled if not platform_tag.is_loader(library)))

    @property
    def external(self) -> tuple[str, ...]:
        """Those of them that no manylinux policy promises either."""
        policy = platform_tag.newest_policy(self.arch)
        promised = policy.libraries if policy else frozenset()
        return tuple(library for library in self.needed if library not in promised)


def extension(name: str) -> re.Match[str] | None:
    """What the name of an extension module for CPython says (abi3, minor, flags, triple); None for any other file."""
    base = name.rpartition("/")[2]
    match = _EXTENSION.search(base)
    return match if match and match.end() == len(base) else None


def is_musl(elf: Elf) -> bool:
    """Whether a file needs musl's C library."""
    return "/ld-musl-" in (elf.interpreter or "") or any(map(platform_tag.is_musl, elf.needed))
