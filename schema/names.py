"""Checked strings: a value of one of these types was parsed, not merely hoped to be right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NewType

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from schema.errors import NotANameError, UsageError

Sha256 = NewType("Sha256", str)  # 64 lower-case hex digits
NodeName = NewType("NodeName", str)
Release = tuple[NormalizedName, Version | None]  # without a version: all of them

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 2**63 - 1
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def project_name(text: str) -> NormalizedName:
    """The normalised project name (PEP 503); raise NotANameError."""
    try:
        return canonicalize_name(text, validate=True)
    except InvalidName as err:
        raise NotANameError(text) from err


def fits(name: str, pattern: str) -> bool:
    """Whether *pattern*, such as ``Django_*`` in any spelling, is for the normalised *name*."""
    return fnmatchcase(name, _normalised(pattern))


def fits_one(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of *patterns* is for *name*, each in any spelling."""
    return any(fits(canonicalize_name(name), pattern) for pattern in patterns)


@cache
def _normalised(pattern: str) -> str:
    return re.sub(r"[-_.]+", "-", pattern).lower()


def sha256(text: str) -> Sha256:
    """Raise ValueError if *text* is not 64 lower-case hex digits."""
    if not _SHA256.fullmatch(text):
        raise ValueError(f"not a sha256 digest: {text[:80]!r}")
    return Sha256(text)


def sha256_of(path: Path) -> Sha256:
    """The digest of a file's bytes."""
    with path.open("rb") as file:
        return Sha256(hashlib.file_digest(file, "sha256").hexdigest())


def node_name(text: str) -> NodeName:
    """A node's name: lower-case letters, digits and inner hyphens; it is part of a queue's name and of paths."""
    if not _NODE_NAME.fullmatch(text):
        raise UsageError(
            f"not a node name: {text!r}",
            advice="at most 63 lower-case letters, digits and inner hyphens, such as pi4-a",
        )
    return NodeName(text)


def requirement(text: str) -> Requirement:
    """One requirement a person may ask for: a name with an optional version range, no URL; raise UsageError."""
    try:
        parsed = Requirement(text)
    except InvalidRequirement as err:
        raise UsageError(
            f"not a requirement: {text!r}: {str(err).splitlines()[0]}", advice="write NAME or NAME==VERSION"
        ) from err
    if parsed.url:
        raise UsageError(f"a requirement by URL cannot be built: {text!r}", advice="the farm builds what the index has")
    return parsed


def version(text: str) -> Version:
    """A version (PEP 440); raise UsageError."""
    try:
        return Version(text)
    except InvalidVersion as err:
        raise UsageError(f"not a version: {text!r}") from err


def release(text: str) -> Release:
    """The name and version of ``NAME`` or ``NAME==VERSION``; raise UsageError."""
    name, separator, number = text.partition("==")
    return project_name(name.strip()), version(number.strip()) if separator else None


def some(text: str) -> int | Release:
    """What builds a person means: a build's number, or what ``release`` takes; raise UsageError."""
    if not text.isdecimal():
        return release(text)
    if not 0 < int(text) <= _LARGEST:
        raise UsageError(f"there is no build {text}", advice="wheelfarm builds lists them")
    return int(text)
