"""Whether a platform tag is true, by auditwheel's policies and the release's own glibc (A-13, PEP 600)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from schema.platforms import Platform
from schema.wheels.elf import Elf

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_POLICY_NAME = re.compile(r"manylinux_(\d+)_(\d+)")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
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
        """``manylinux_2_17``."""
        return f"manylinux_{self.glibc[0]}_{self.glibc[1]}"


def claimed_glibc(tag: str) -> tuple[int, int] | None:
    """The glibc that a manylinux tag promises to be enough; None for any other platform tag."""
    match = _MANYLINUX.fullmatch(tag)
    if match:
        return int(match[1]), int(match[2])
    return _LEGACY.get(tag.partition("_")[0])


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
        for policy in _policy_file()
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


def beyond(elf: Elf, policy: Policy, bundled: frozenset[str]) -> Iterator[str]:
    """What a file needs and a policy does not promise, a sentence each; *bundled* are the wheel's own libraries."""
    for library in elf.needed:
        if library not in policy.libraries and library not in bundled and not is_loader(library):
            yield f"needs {library}, which is neither in the wheel nor on every such system"
    for library, versions in elf.versions.items():
        if library in bundled or is_loader(library):
            continue
        over = [version for version in versions if not _allowed(version, policy)]
        if over:
            yield f"needs {max(over, key=_by_number)} of {library}"


def forbidden(elf: Elf, undefined: Iterable[str], policy: Policy) -> Iterator[str]:
    """Symbols that a file takes although a policy forbids it, a sentence each; *undefined* are all that it takes."""
    taken = frozenset(undefined)
    for library in elf.needed:
        for symbol in sorted(taken & policy.forbidden.get(library, frozenset())):
            yield f"takes {symbol} from {library}, which is not for others"


def beyond_release(elf: Elf, platform: Platform) -> Iterator[str]:
    """What a ``linux_*`` wheel needs of a newer glibc than its release has, a sentence each."""
    glibc = platform.distribution.glibc
    newest = max((version for versions in elf.versions.values() for version in versions), key=_glibc, default="")
    if _glibc(newest)[:2] > glibc:
        yield f"needs {newest}, but {platform.distribution.title} has {'.'.join(map(str, glibc))}"


def _allowed(version: str, policy: Policy) -> bool:
    prefix, _, number = version.partition("_")
    return prefix not in policy.symbols or number in policy.symbols[prefix]


def _by_number(version: str) -> tuple[int, ...]:
    return tuple(int(number[:9]) for number in _NUMBERS.findall(version))


def _glibc(version: str) -> tuple[int, ...]:
    return _by_number(version) if version.startswith("GLIBC_") else ()


@cache
def _policy_file() -> list[dict[str, Any]]:
    """What auditwheel itself goes by: the data only, for its programming interface changes between minor releases."""
    file = resources.files("auditwheel") / "policy" / "manylinux-policy.json"
    policies: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return policies
