"""Build requirements that an sdist was written for: what broke when, and modules that sdists forget to require."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from schema.remedies import FORGOTTEN

# What a log says, and the newest releases that still had what is missed; the first of each row is the least change.
_BROKE: Final[tuple[tuple[re.Pattern[str], tuple[tuple[str, ...], ...]], ...]] = (
    (re.compile(r"cython_sources|Cython|\.pyx\b"), (("cython<3",), ("cython<0.29.37", "setuptools<58"))),
    (re.compile(r"use_2to3|'Feature'|\bFeature\b"), (("setuptools<58",), ("setuptools<46",))),
    (re.compile(r"msvccompiler"), (("setuptools<74",), ("setuptools<60",))),
    (re.compile(r"numpy\.distutils"), (("numpy<2",), ("numpy<1.26", "setuptools<60"))),
    (re.compile(r"from 'numpy|numpy\.core"), (("numpy<2",),)),
    (re.compile(r"pkg_resources"), (("setuptools<81",), ("setuptools<58",))),
    (re.compile(r"setuptools|install_layout"), (("setuptools<81",), ("setuptools<60",), ("setuptools<46",))),
)
# Where the log does not tell which requirement it was.
_ANY: Final = (("setuptools<81", "cython<3", "numpy<2"), ("setuptools<58", "cython<3", "numpy<2"))


def pins(evidence: str) -> Iterator[tuple[str, ...]]:
    """The constraints that may give back what *evidence* misses, least change first; each is one thing to try."""
    found = next((rows for pattern, rows in _BROKE if pattern.search(evidence)), ())
    yield from dict.fromkeys((*found, *_ANY))


def project_of(module: str) -> str | None:
    """The project that brings a module which sdists are known to forget among their build requirements."""
    return FORGOTTEN.get(module.partition(".")[0])
