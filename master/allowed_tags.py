"""Which platform tags are fine although they are not portable: what a person names beside a folder of wheels."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schema.errors import UsageError
from schema.platforms import DEBIAN_ARCHITECTURES, DISTRIBUTIONS, Distribution
from schema.wheels import platform_tag
from schema.wheels.machines import ARCHITECTURES

_PATTERN = re.compile(r"[a-z0-9_*?\[\]!]+")
_LINUX = tuple(f"linux_{arch}" for arch in ARCHITECTURES)
_PORTABLE = (
    *(f"manylinux_2_{minor}_{arch}" for minor in range(5, 100) for arch in ARCHITECTURES),
    *(f"{name}_{arch}" for name in ("manylinux1", "manylinux2010", "manylinux2014") for arch in ARCHITECTURES),
    *(f"musllinux_1_{minor}_{arch}" for minor in range(10) for arch in ARCHITECTURES),
    *("any", "win32", "win_amd64", "win_arm64", "macosx_10_9_x86_64", "macosx_11_0_arm64", "macosx_10_9_universal2"),
)
_VIEWS = {f"{name}-{arch}": (item, arch) for name, item in DISTRIBUTIONS.items() for arch in item.architectures}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What ``parse`` made of the texts.

    patterns: of platform tags
    views: releases with an architecture, whose ``linux_*`` wheels are fine if they run there
    needless: texts that name portable tags only, and so allow nothing more
    """

    patterns: tuple[str, ...] = ()
    views: tuple[tuple[Distribution, str], ...] = ()
    needless: tuple[str, ...] = ()

    def takes(self, tag: str) -> bool:
        """Whether a platform tag is among them."""
        return self._matches(tag) or bool(self._releases(tag))

    def release(self, tag: str) -> Distribution | None:
        """The newest release that a tag was allowed for; None if it was allowed as it is, or not at all."""
        releases = () if self._matches(tag) else self._releases(tag)
        return max(releases, key=lambda release: release.glibc, default=None)

    def _matches(self, tag: str) -> bool:
        return any(fnmatchcase(tag, pattern) for pattern in self.patterns)

    def _releases(self, tag: str) -> tuple[Distribution, ...]:
        return tuple(release for release, arch in self.views if tag == f"linux_{arch}")


def parse(texts: Sequence[str], *, present: Collection[str] = ()) -> Allowed:
    """Read tags such as ``linux_armv7l``, patterns such as ``linux_*``, and views such as ``debian12-*``.

    present: platform tags that there are; a text that matches one of them, or a known one, makes sense

    Raise UsageError for any other text.
    """
    patterns, views, needless = [], [], []
    for text in texts:
        pattern = text.lower()
        found = [view for name, view in _VIEWS.items() if fnmatchcase(name, pattern)] if "-" in text else []
        views += found
        if not found:
            _refuse_nonsense(text, pattern, present)
            patterns.append(pattern)
            if not any(fnmatchcase(tag, pattern) for tag in (*_LINUX, *present) if not platform_tag.is_portable(tag)):
                needless.append(text)
    return Allowed(patterns=tuple(patterns), views=tuple(views), needless=tuple(needless))


def _refuse_nonsense(text: str, pattern: str, present: Collection[str]) -> None:
    if text.count("-") > 1:
        alone = text.rpartition("-")[2]
        raise _nonsense(text, f"name the platform alone, such as {alone if 'linux' in alone else 'debian12-x86_64'}")
    if "-" in text:
        raise _nonsense(
            text,
            f"distributions: {', '.join(DISTRIBUTIONS)}; architectures: {', '.join(DEBIAN_ARCHITECTURES)}; '*' is any",
        )
    if not _PATTERN.fullmatch(pattern):
        raise _nonsense(text, "lower-case letters, digits and '_'; '*', '?' and '[…]' as a shell takes them")
    known = platform_tag.is_portable(pattern) and platform_tag.linux_arch(pattern) is None
    if not known and not any(fnmatchcase(tag, pattern) for tag in (*_LINUX, *_PORTABLE, *present)):
        raise _nonsense(text, f"it is none that installers know; those of Linux: {', '.join(_LINUX)}")


def _nonsense(text: str, advice: str) -> UsageError:
    return UsageError(f"not a platform tag, nor a pattern of any: {text!r}", advice=advice)
