"""The dynamic linker of an image: which files it finds by name, and its cache."""

from __future__ import annotations

import re
from pathlib import Path

from builder import process

_LIBRARY = re.compile(r"/?(?:usr/)?lib/(?:[\w.-]+-linux-gnu\w*/)?(lib[^/ ]+\.so\.[0-9.]+|lib[^/ ]+-[0-9.]+\.so)")
# Run the image's own ldconfig on the image alone, as whoever owns it.
_LDCONFIG = ("bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--uid", "0", "--gid", "0")


def found_as(path: str) -> str | None:
    """The name by which programs ask for the library at *path* of a root at run time; None for any other file."""
    found = _LIBRARY.fullmatch(path)
    return found[1] if found else None


def renew_cache(root: Path) -> None:
    """Make the cache anew, after files came or went. Raise ProcessError."""
    process.run([*_LDCONFIG, "--bind", str(root), "/", "--dev", "/dev", "--", "/sbin/ldconfig"])
