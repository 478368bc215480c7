"""Read Build-Depends (Debian policy 7.1): alternatives, versions, architectures, build profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder import apt

_RELATION = re.compile(
    r"\s*(?P<name>[a-z0-9][a-z0-9+.-]{1,127})(?P<qualifier>:[a-z0-9-]+)?\s*(?:\([^()]{0,200}\)\s*)?"
    r"(?:\[(?P<architectures>[^\[\]]{0,500})\]\s*)?(?P<profiles>(?:<[^<>]{0,200}>\s*){0,8})"
)
# We build wheels: neither the tests nor the documentation of the package.
_PROFILES = {"nocheck", "nodoc"}


def names(text: str, architecture: str | None = None) -> Iterator[str]:
    """The package of each relation of *text*: its first alternative that holds."""
    return (alternatives[0] for alternatives in relations(text, architecture))


def relations(text: str, architecture: str | None = None) -> Iterator[tuple[str, ...]]:
    """The alternatives of each relation of *text* that hold, as it orders them; no relation of which none does.

    architecture: Debian's name of the one to build for; None: whatever the restrictions say
    """
    for relation in text.split(","):
        alternatives = [found for item in relation.split("|") if (found := _RELATION.fullmatch(item))]
        holding = tuple(
            found["name"] for found in alternatives if apt.is_name(found["name"]) and _holds(found, architecture)
        )
        if holding:
            yield holding


def _holds(relation: re.Match[str], architecture: str | None) -> bool:
    if architecture is None:
        return True
    listed = (relation["architectures"] or "").split()
    if listed and any(item.startswith("!") for item in listed):
        fits = not any(_is(item[1:], architecture) for item in listed)
    else:
        fits = not listed or any(_is(item, architecture) for item in listed)
    formulas = re.findall(r"<([^<>]*)>", relation["profiles"])
    wanted = not formulas or any(all(_active(term) for term in formula.split()) for formula in formulas)
    return fits and wanted


def _is(wildcard: str, architecture: str) -> bool:
    return wildcard in {architecture, "any", "linux-any", f"any-{architecture}", f"linux-{architecture}"}


def _active(term: str) -> bool:
    return term.removeprefix("!") not in _PROFILES if term.startswith("!") else term in _PROFILES
