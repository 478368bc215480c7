"""A lock as text that plain installers read: a requirements file with hashes, or ``pylock.toml`` (PEP 751)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

import tomli_w
from packaging.markers import Marker
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from master.lock import Lock
from master.solve import Pin
from schema.platforms import Platform

# What a kernel calls the machine on which such wheels run: the same, or one with wider words.
_MACHINES = {
    "armv6l": ("armv6l", "armv7l", "armv8l", "aarch64"),
    "armv7l": ("armv7l", "armv8l", "aarch64"),
    "i686": ("i686", "x86_64"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """Where installers find the wheels: the farm's view of the platform, and the upstream's index."""

    farm: str
    upstream: str

    def of(self, pin: Pin) -> str:
        """The one that has the wheel."""
        return self.farm if pin.own else self.upstream


def requirements(lock: Lock, indexes: Indexes) -> str:
    """A requirements file: each project pinned to one version, and to the bytes of one wheel.

    The same lock always gives the same text. Its options are those that both pip and uv take from a file; which index
    is asked first, uv takes from nobody.
    """
    return "".join(f"{line}\n" for line in _lines(lock, indexes))


def _lines(lock: Lock, indexes: Indexes) -> Iterator[str]:
    used = [url for url in (indexes.upstream, indexes.farm) if any(indexes.of(pin) == url for pin in lock.pins)]
    strategy = "--index-strategy unsafe-best-match " if len(used) > 1 else ""
    yield f"# {len(lock.pins)} wheels for {lock.platform}, chosen by wheelfarm lock."
    yield "# pip install -r FILE"
    yield f"# uv pip install {strategy}-r FILE"
    yield from (f"--{option} {url}" for option, url in zip(("index-url", "extra-index-url"), used, strict=False))
    yield "--only-binary :all:"
    for pin in lock.pins:
        extras = f"[{','.join(sorted(pin.extras))}]" if pin.extras else ""
        yield f"{pin.name}{extras}=={pin.version} \\"
        yield f"    --hash=sha256:{pin.wheel.sha256}"


def pylock(lock: Lock, indexes: Indexes) -> str:
    """A lock file (PEP 751) for the one platform; wheels by URL, size and digest."""
    made = Pylock(
        lock_version=Version("1.0"),
        created_by=f"wheelfarm {version('wheelfarm')}",
        environments=[_environment(lock.platform)],
        requires_python=SpecifierSet(f"=={'.'.join(map(str, lock.platform.python_version))}.*"),
        packages=[_package(pin, indexes) for pin in lock.pins],
    )
    return tomli_w.dumps(made.to_dict())


def _package(pin: Pin, indexes: Indexes) -> Package:
    wheel = PackageWheel(
        name=pin.wheel.filename,
        url=pin.wheel.url,
        size=pin.wheel.size_bytes,
        upload_time=pin.wheel.uploaded_at,
        hashes={"sha256": str(pin.wheel.sha256)},
    )
    return Package(name=pin.name, version=pin.version, index=indexes.of(pin), wheels=[wheel])


def _environment(platform: Platform) -> Marker:
    machines = " or ".join(f'platform_machine == "{name}"' for name in _MACHINES.get(platform.arch, (platform.arch,)))
    wanted = platform.marker_environment
    keys = ("implementation_name", "sys_platform", "python_version")
    return Marker(" and ".join([*(f'{key} == "{wanted[key]}"' for key in keys), f"({machines})"]))
