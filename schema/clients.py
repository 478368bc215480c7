"""Which installer asks, as its User-Agent says it; nothing that points at a person or a machine is read out of it.

pip and uv send JSON behind their name, others only names and versions. All of it is hostile: what is not in a small
grammar counts as ``other``, so that nobody can fill a table with what he makes up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

OTHER = "other"

_AGENT_LIMIT = 2000
_PRODUCT = re.compile(r"([A-Za-z][A-Za-z-]{0,30})/(\d{1,4})(\.\d{1,3})?")
_PYTHON = re.compile(r"([23]\.\d{1,2})(?:\.|\b)")
_TOLD_PYTHON = re.compile(r"CPython/(3\.\d{1,2})\b")
_VERSION = re.compile(r"(\d{1,3})(\.\d{1,2})?(?:\.|\Z)")

# Name that a program calls itself → what it is counted as.
_PROGRAMS = {
    **{
        name: name
        for name in ("pip", "uv", "poetry", "pdm", "pipenv", "hatch", "proxpi", "bandersnatch", "curl", "wget")
    },
    "devpi-server": "devpi",
    "devpi-mirror": "devpi",
    "devpi-web": "devpi",
    "mozilla": "browser",
    "python-requests": "requests",
    "setuptools": "setuptools",
}
# Beginning of a distribution's name, in lower case → its id; those whose releases have two numbers.
_DISTRIBUTIONS = {
    "debian": "debian",
    "raspbian": "raspbian",
    "ubuntu": "ubuntu",
    "alpine": "alpine",
    "fedora": "fedora",
    "centos": "centos",
    "red hat": "rhel",
    "rocky": "rocky",
    "almalinux": "almalinux",
    "amazon": "amazon",
    "arch": "arch",
    "opensuse": "opensuse",
    "linux mint": "mint",
    "nixos": "nixos",
}
_TWO_NUMBERS = frozenset({"ubuntu", "alpine", "opensuse", "nixos", "mint"})
_ARCHITECTURES = {
    **{
        name: name
        for name in ("x86_64", "aarch64", "armv8l", "armv7l", "armv6l", "i686", "riscv64", "ppc64le", "s390x")
    },
    "amd64": "x86_64",
    "arm64": "aarch64",
    "i386": "i686",
    "x86": "i686",
}


class Client(NamedTuple):
    """Who asked; "" where it is not told, ``other`` where what is told is nothing known.

    name: such as ``pip``, never ""; version, python: two numbers, such as ``26.3``
    distribution: such as ``debian 12``; arch: as wheels name it
    """

    name: str = OTHER
    version: str = ""
    python: str = ""
    distribution: str = ""
    arch: str = ""


UNKNOWN = Client()


@lru_cache(maxsize=256)
def client(agent: str) -> Client:
    """The client that sends this User-Agent."""
    found = _PRODUCT.match(agent) if len(agent) <= _AGENT_LIMIT else None
    name = _PROGRAMS.get(found[1].lower()) if found else None
    if found is None or name is None:
        return UNKNOWN
    version = "" if name == "browser" else found[2] + (found[3] or "")
    told = _told(agent.partition(" ")[2])
    if not told:
        python = _TOLD_PYTHON.search(agent)
        return Client(name=name, version=version, python=python[1] if python else "")
    return Client(
        name=name,
        version=version,
        python=_matched(_PYTHON, told.get("python")),
        distribution=_distribution(told.get("distro")),
        arch=_arch(told.get("cpu")),
    )


def _told(text: str) -> Mapping[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _matched(pattern: re.Pattern[str], value: object) -> str:
    if value is None or value == "":
        return ""
    found = pattern.match(value) if isinstance(value, str) else None
    return found[1] if found else OTHER


def _distribution(value: object) -> str:
    if not isinstance(value, dict) or not value.get("name"):
        return ""
    name = str(value["name"]).lower()
    known = next((short for start, short in _DISTRIBUTIONS.items() if name.startswith(start)), None)
    if known is None:
        return OTHER
    version = _VERSION.match(str(value.get("version") or ""))
    if version is None:
        return known
    return f"{known} {version[1]}{version[2] or '' if known in _TWO_NUMBERS else ''}"


def _arch(value: object) -> str:
    if value is None or value == "":
        return ""
    return _ARCHITECTURES.get(value.lower(), OTHER) if isinstance(value, str) else OTHER
