"""The versions next to what was asked for: what a person who mistyped a version, or came too early, wants to know."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version


def nearest(specifier: str, versions: Iterable[str]) -> str:
    """Such as ``upstream has 1.17.0 before it and 2.0 after it``; "" where neither is there, or nothing was named."""
    bounds = _bounds(specifier)
    listed = sorted({version for text in versions if (version := _version(text)) is not None})
    if not bounds or not listed:
        return ""
    before = [f"{max(found)} before it" for found in [[item for item in listed if item < min(bounds)]] if found]
    after = [f"{min(found)} after it" for found in [[item for item in listed if item > max(bounds)]] if found]
    return f"upstream has {' and '.join([*before, *after])}" if before or after else ""


def _bounds(specifier: str) -> list[Version]:
    """The versions that a range names."""
    try:
        named = [_version(item.version.removesuffix(".*")) for item in SpecifierSet(specifier)]
    except InvalidSpecifier:
        return []
    return [version for version in named if version is not None]


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
