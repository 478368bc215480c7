"""Platforms: a distribution release on an architecture with an interpreter, such as ``debian12-aarch64-cp311``.

The platform, not the wheel tag, says which libraries a ``linux_*`` wheel may rely on.
"""

from __future__ import annotations

import platform as machine
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

from packaging.tags import Tag, compatible_tags, cpython_tags

from schema.errors import UnknownPlatformError

# Architecture as wheels and the kernel name it → as Debian names it.
DEBIAN_ARCHITECTURES: dict[str, str] = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "armhf",
    "armv6l": "armhf",
    "i686": "i386",
    "riscv64": "riscv64",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
}
_ARCHITECTURES = tuple(arch for arch in DEBIAN_ARCHITECTURES if arch != "armv6l")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A release of a distribution.

    suite: the name its archive uses
    glibc: (major, minor) of its C library
    python: the full version of its own CPython
    identity: ID and VERSION_ID of its ``/etc/os-release``
    architectures: those that it is for
    """

    name: str
    title: str
    suite: str
    glibc: tuple[int, int]
    python: str
    identity: tuple[str, str]
    architectures: tuple[str, ...]


# Name, title, suite, glibc, CPython, and what /etc/os-release says.
_RELEASES = (
    ("debian11", "Debian 11", "bullseye", (2, 31), "3.9.2", ("debian", "11")),
    ("debian12", "Debian 12", "bookworm", (2, 36), "3.11.2", ("debian", "12")),
    ("debian13", "Debian 13", "trixie", (2, 41), "3.13.5", ("debian", "13")),
    ("raspbian12", "Raspberry Pi OS 12 (32-bit)", "bookworm", (2, 36), "3.11.2", ("raspbian", "12")),
    ("raspbian13", "Raspberry Pi OS 13 (32-bit)", "trixie", (2, 41), "3.13.5", ("raspbian", "13")),
    ("ubuntu2204", "Ubuntu 22.04", "jammy", (2, 35), "3.10.12", ("ubuntu", "22.04")),
    ("ubuntu2404", "Ubuntu 24.04", "noble", (2, 39), "3.12.3", ("ubuntu", "24.04")),
)
DISTRIBUTIONS: dict[str, Distribution] = {
    name: Distribution(
        name=name,
        title=title,
        suite=suite,
        glibc=glibc,
        python=python,
        identity=identity,
        # Raspbian is compiled for ARMv6; Debian's armhf, for ARMv7, only has the same name.
        architectures=("armv6l",) if identity[0] == "raspbian" else _ARCHITECTURES,
    )
    for name, title, suite, glibc, python, identity in _RELEASES
}

# The oldest manylinux_2_N of each architecture, and the three legacy spellings (PEP 600).
_OLDEST_GLIBC_MINOR = {"x86_64": 5, "i686": 5}
_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

_PYTHON = re.compile(r"cp3(\d{1,2})")


@dataclass(frozen=True, kw_only=True)
class Platform:
    """Make one with ``parse``; ``str()`` gives the external spelling back."""

    distribution: Distribution
    arch: str
    python: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UnknownPlatformError for anything that is not a platform the farm knows."""
        parts = text.split("-")
        if len(parts) != 3:  # noqa: PLR2004 - distribution, architecture, interpreter
            raise UnknownPlatformError(text)
        name, arch, python = parts
        if name not in DISTRIBUTIONS:
            raise UnknownPlatformError(text, known=f"known distributions: {', '.join(DISTRIBUTIONS)}")
        if arch not in DISTRIBUTIONS[name].architectures:
            known = f"architectures of {name}: {', '.join(DISTRIBUTIONS[name].architectures)}"
            raise UnknownPlatformError(text, known=known)
        if not _PYTHON.fullmatch(python):
            raise UnknownPlatformError(text, known="the interpreter is written as cp311")
        return cls(distribution=DISTRIBUTIONS[name], arch=arch, python=python)

    @classmethod
    def of_image(cls, image: str) -> Self:
        """The platform of the image of that name: the one way back from ``image``."""
        name, _, rest = image.partition("-")
        arch, _, python = rest.partition("-")
        if name in DISTRIBUTIONS and arch in DISTRIBUTIONS[name].architectures:
            minor = DISTRIBUTIONS[name].python.split(".")[1]
            found = cls(distribution=DISTRIBUTIONS[name], arch=arch, python=python or f"cp3{minor}")
            if _PYTHON.fullmatch(found.python) and found.image == image:
                return found
        raise UnknownPlatformError(
            image,
            known="write an image as DISTRIBUTION-ARCHITECTURE, such as debian12-x86_64; for another Python than the"
            " distribution has as its platform, such as debian12-x86_64-cp313",
        )

    @classmethod
    def here(cls) -> Self:
        """What a farm on this machine builds for, where nobody says: Debian 12; on 32-bit Raspberry Pi OS, for that."""
        try:
            told = machine.freedesktop_os_release()
        except OSError:
            told = {}
        raspbian = DISTRIBUTIONS.get(f"raspbian{told.get('VERSION_ID', '')}") if told.get("ID") == "raspbian" else None
        return cls.of_image(f"{raspbian.name}-armv6l" if raspbian else f"debian12-{this_machine()}")

    def __str__(self) -> str:
        return f"{self.view}-{self.python}"

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def view(self) -> str:
        """The part of the index that this platform installs from: ``debian12-x86_64``."""
        return f"{self.distribution.name}-{self.arch}"

    @property
    def image(self) -> str:
        """The image that it builds in: ``debian12-x86_64``; ``debian12-x86_64-cp313`` with an added interpreter."""
        return self.view if self.has_own_python else str(self)

    @property
    def has_own_python(self) -> bool:
        """Whether the interpreter is the one that the distribution itself has."""
        return self.distribution.python.startswith(f"3.{self.python_version[1]}.")

    @property
    def python_version(self) -> tuple[int, int]:
        """(3, 11) for cp311."""
        return (3, int(self.python.removeprefix("cp3")))

    @property
    def python_full_version(self) -> str:
        """Such as 3.11.2: the distribution's own where it is the same minor version, else its first release."""
        major, minor = self.python_version
        return self.distribution.python if self.has_own_python else f"{major}.{minor}.0"

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """Every wheel tag that an installer on this platform accepts."""
        return frozenset(self.ordered_tags)

    @property
    def retagged(self) -> dict[str, tuple[str, ...]]:
        """Platform tags as build backends may give them → those that the wheel is to have.

        A 32-bit interpreter on a 64-bit kernel names a machine that nothing is compiled for (B-09). What was compiled
        for ARMv6 runs on ARMv7, whose installers do not take it under the older name.
        """
        if self.arch == "armv6l":
            return dict.fromkeys(("linux_armv6l", "linux_armv7l", "linux_armv8l"), ("linux_armv6l", "linux_armv7l"))
        return {"linux_armv8l": ("linux_armv7l",)} if self.arch == "armv7l" else {}

    @property
    def ordered_tags(self) -> tuple[Tag, ...]:
        """The same, the most specific first, as pip up to 26.2 ranks them (manylinux before linux)."""
        return _tags(self.python_version, tuple(_platform_tags(self.arch, self.distribution.glibc)))

    @property
    def marker_environment(self) -> dict[str, str]:
        """The PEP 508 environment of this platform."""
        major, minor = self.python_version
        return {
            "implementation_name": "cpython",
            "implementation_version": self.python_full_version,
            "os_name": "posix",
            "platform_machine": self.arch,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.python_full_version,
            "python_version": f"{major}.{minor}",
            "sys_platform": "linux",
            "extra": "",
        }


def this_machine() -> str:
    """This machine's architecture as wheels name it, such as ``aarch64``."""
    return {"amd64": "x86_64", "arm64": "aarch64", "armv8l": "armv7l"}.get(machine.machine(), machine.machine())


@lru_cache(maxsize=64)
def _tags(python: tuple[int, int], platforms: tuple[str, ...]) -> tuple[Tag, ...]:
    interpreter = f"cp{python[0]}{python[1]}"
    return (
        *cpython_tags(python_version=python, abis=[interpreter], platforms=platforms),
        *compatible_tags(python_version=python, interpreter=interpreter, platforms=platforms),
    )


def _platform_tags(arch: str, glibc: tuple[int, int]) -> Iterator[str]:
    if arch == "armv6l":  # no manylinux is for it
        yield "linux_armv6l"
        return
    for minor in range(glibc[1], _OLDEST_GLIBC_MINOR.get(arch, 17) - 1, -1):
        yield f"manylinux_{glibc[0]}_{minor}_{arch}"
        if minor in _LEGACY_MANYLINUX:
            yield f"{_LEGACY_MANYLINUX[minor]}_{arch}"
    yield f"linux_{arch}"
