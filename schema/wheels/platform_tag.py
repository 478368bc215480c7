"""Whether a platform tag is true, by auditwheel's policies and the release's own glibc (A-13, PEP 600)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from schema.platforms import Distribution
from schema.wheels.elf import Elf

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_LINUX = re.compile(r"(?:linux|manylinux(?:1|2010|2014|_\d+_\d+)|musllinux_\d+_\d+)_(\w+)")
_POLICY_NAME = re.compile(r"manylinux_(\d+)_(\d+)")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
# What PyPI takes beside them; how such wheels keep their promise is not looked at here.
_ELSEWHERE = re.compile(
    r"any|win32|win_(?:amd64|arm64|arm32|ia64)|macosx_\d+_\d+_\w+|ios_\d+_\d+_\w+|android_\d+_\w+|pyodide_\w+_wasm32"
)
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What wheels with a platform tag may rely on.

    glibc: (2, 17) for manylinux2014; libraries: sonames that are always there
    symbols: prefix such as ``GLIBCXX`` → its versions that may be needed
    forbidden: library → the symbols that must not be taken from it, although it is always there
    """

    glibc: tuple[int, int]
    libraries: frozenset[str]
    symbols: dict[str, frozenset[str]]
    forbidden: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Such as ``manylinux_2_17``."""
        return "manylinux_{}_{}".format(*self.glibc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What compiled files need beyond one policy: nothing if they keep it.

    tag: the platform tag of the policy; libraries: sonames; symbols: the newest of each library, such as ``GLIBC_2.34``
    """

    tag: str
    libraries: tuple[str, ...]
    symbols: tuple[str, ...]


def claimed_glibc(tag: str) -> tuple[int, int] | None:
    """The glibc that a manylinux tag promises to be enough; None for any other platform tag."""
    match = _MANYLINUX.fullmatch(tag)
    if match:
        return int(match[1]), int(match[2])
    return _LEGACY.get(tag.partition("_")[0])


def linux_arch(tag: str) -> str | None:
    """The architecture that a platform tag of Linux names, whichever C library it is for; None for any other tag."""
    match = _LINUX.fullmatch(tag)
    return match[1] if match else None


def is_portable(tag: str) -> bool:
    """Whether a platform tag says which systems will do: a manylinux or musllinux policy, or no Linux at all."""
    return not tag.startswith("linux_") and bool(linux_arch(tag) or _ELSEWHERE.fullmatch(tag))


@cache
def policies(arch: str) -> tuple[Policy, ...]:
    """The glibc policies of an architecture, the oldest first; none where auditwheel has none (armv6l)."""
    found = [
        Policy(
            glibc=(int(match[1]), int(match[2])),
            libraries=frozenset(policy["lib_whitelist"]),
            symbols={prefix: frozenset(numbers) for prefix, numbers in policy["symbol_versions"][arch].items()},
            forbidden={library: frozenset(names) for library, names in policy["blacklist"].items()},
        )
        for policy in _policy_file("manylinux")
        if (match := _POLICY_NAME.fullmatch(policy["name"])) and arch in policy["symbol_versions"]
    ]
    return tuple(sorted(found, key=lambda policy: policy.glibc))


def policy_for(glibc: tuple[int, int], arch: str) -> Policy | None:
    """The newest policy that is not newer than *glibc*: a tag between two policies may rely on the older one only."""
    return max(
        (policy for policy in policies(arch) if policy.glibc <= glibc), key=lambda policy: policy.glibc, default=None
    )


def newest_policy(arch: str) -> Policy | None:
    """The policy with the most libraries and symbols."""
    return max(policies(arch), key=lambda policy: policy.glibc, default=None)


def fits(files: Collection[Elf], arch: str, bundled: frozenset[str]) -> tuple[Fit, ...]:
    """How *files* stand to each policy of an architecture, the oldest first; *bundled* as in ``beyond``."""
    return tuple(
        Fit(
            tag=f"{policy.name}_{arch}",
            libraries=tuple(sorted({name for elf in files for name in libraries_beyond(elf, policy, bundled)})),
            symbols=tuple(sorted({name for elf in files for _, name in versions_beyond(elf, policy, bundled)})),
        )
        for policy in policies(arch)
    )


def kept(found: Iterable[Fit], *, repaired: bool = False) -> Fit | None:
    """The oldest policy that files keep as they are; with *repaired* the oldest once their libraries are inside."""
    return next((fit for fit in found if not fit.symbols and (repaired or not fit.libraries)), None)


def newest_glibc(files: Collection[Elf]) -> tuple[int, ...]:
    """The newest glibc that a symbol of *files* asks for, such as (2, 34); empty if none does."""
    return max((_glibc(name) for elf in files for names in elf.versions.values() for name in names), default=())


def newest_of_each(versions: Iterable[str]) -> dict[str, str]:
    """Prefix → the highest of the symbol versions with it: ``{"GLIBC": "2.34"}``; without a number none counts."""
    found: dict[str, str] = {}
    for version in versions:
        prefix, _, number = version.rpartition("_")
        if prefix and number[:1].isdecimal():
            found[prefix] = max(number, found.get(prefix, ""), key=_by_number)
    return dict(sorted(found.items()))


def is_loader(library: str) -> bool:
    """Whether a DT_NEEDED names the dynamic loader itself, which every program has."""
    return library.startswith("ld-linux") or library in ("ld64.so.1", "ld64.so.2")


def libraries_beyond(elf: Elf, policy: Policy, bundled: frozenset[str]) -> Iterator[str]:
    """The libraries that a file needs and a policy does not promise; *bundled* are the wheel's own."""
    for library in elf.needed:
        if library not in policy.libraries and library not in bundled and not is_loader(library):
            yield library


def versions_beyond(elf: Elf, policy: Policy, bundled: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The libraries of which a file needs newer symbols than a policy promises, each with the newest one."""
    for library, versions in elf.versions.items():
        if library in bundled or is_loader(library):
            continue
        over = [version for version in versions if not _allowed(version, policy)]
        if over:
            yield library, max(over, key=_by_number)


def forbidden(elf: Elf, undefined: Iterable[str], policy: Policy) -> Iterator[tuple[str, str]]:
    """Libraries and symbols that a file takes from them although a policy forbids it; *undefined* are all it takes."""
    taken = frozenset(undefined)
    for library in elf.needed:
        for symbol in sorted(taken & policy.forbidden.get(library, frozenset())):
            yield library, symbol


def beyond_musl(elf: Elf, bundled: frozenset[str]) -> Iterator[str]:
    """The libraries that a file needs and no ``musllinux`` policy promises (PEP 656)."""
    for library in elf.needed:
        if library not in bundled and not on_every_musl_system(library):
            yield library


def on_every_musl_system(library: str) -> bool:
    """Whether a ``musllinux`` policy promises a library."""
    return library in _musl_libraries() or is_musl(library)


def is_musl(library: str) -> bool:
    """Whether a DT_NEEDED names musl's C library or its loader."""
    return library.startswith(("libc.musl-", "ld-musl-"))


def beyond_release(elf: Elf, release: Distribution) -> Iterator[str]:
    """What a ``linux_*`` wheel needs of a newer glibc than its release has, a sentence each."""
    glibc = release.glibc
    newest = max((version for versions in elf.versions.values() for version in versions), key=_glibc, default="")
    if _glibc(newest)[:2] > glibc:
        yield f"needs {newest}, but {release.title} has {'.'.join(map(str, glibc))}"


def _allowed(version: str, policy: Policy) -> bool:
    prefix, _, number = version.partition("_")
    return prefix not in policy.symbols or number in policy.symbols[prefix]


def _by_number(version: str) -> tuple[int, ...]:
    return tuple(int(number[:9]) for number in _NUMBERS.findall(version))


def _glibc(version: str) -> tuple[int, ...]:
    return _by_number(version) if version.startswith("GLIBC_") else ()


@cache
def _musl_libraries() -> frozenset[str]:
    """What is on every musl system; the C library by the name that some linkers write, too."""
    return frozenset(library for policy in _policy_file("musllinux") for library in policy["lib_whitelist"])


@cache
def _policy_file(libc: str) -> list[dict[str, Any]]:
    """What auditwheel itself goes by: the data only, for its programming interface changes between minor releases."""
    file = resources.files("auditwheel") / "policy" / f"{libc}-policy.json"
    policies: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return policies
