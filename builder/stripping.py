"""The bare root of an image: its suite and interpreter as people have them, without compilers and -dev packages.

It is made of the image's own files, by hard links: the versions are the same, it costs next to no space and no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from builder import apt, linker, process
from builder.bootstrap import FOR_BUILDS
from schema.errors import ImageError
from schema.platforms import DEBIAN_ARCHITECTURES, Platform

# On the root alone: as its owner, without this machine's log, with whatever this machine's PATH has.
_DPKG = (
    *("--log=/dev/null", "--no-triggers", "--force-not-root", "--force-bad-path"),
    # What goes, goes together; what is half made is thrown away.
    *("--force-depends", "--force-unsafe-io"),
)


def strip(bare: Path, root: Path, sources: Path, platform: Platform) -> None:
    """Make the root *bare* of the image at *root*.

    sources: the image's ``apt/``
    What builds need, and what only came with that, is purged, but no maintainer script runs: what those made outside
    their packages stays, such as links below ``/etc/alternatives``. Raise ImageError.
    """
    try:
        packages = apt.removable(sources, root, (DEBIAN_ARCHITECTURES[platform.arch],), FOR_BUILDS)
        process.run(["cp", "-al", "--", str(root), str(bare)])
        for file in _records(bare, packages, ("prerm", "postrm")):
            file.unlink()
        process.run(["dpkg", f"--root={bare}", *_DPKG, "--purge", *packages])
        linker.renew_cache(bare)
        process.remove(bare / "var/cache/ldconfig")  # what ldconfig notes for itself is different each time
    except process.ProcessError as err:
        raise ImageError(f"no bare root of {platform.view} could be made: {err}") from err


def libraries(root: Path, packages: Iterable[str]) -> dict[str, str]:
    """The shared libraries of *packages* in *root*: name → the package that ships it."""
    return {name: package for package in sorted(packages) for name in _libraries(root, package)}


def _libraries(root: Path, package: str) -> Iterator[str]:
    """The shared libraries of *package* that the dynamic linker finds by name."""
    for file in _records(root, [package], ("list",)):
        yield from filter(None, map(linker.found_as, file.read_text(encoding="utf-8").splitlines()))


def _records(root: Path, packages: Sequence[str], kinds: Sequence[str]) -> list[Path]:
    """What dpkg keeps of packages, by its kind; of one that may be there for several architectures, too."""
    folder = root / "var/lib/dpkg/info"
    patterns = [f"{package}{arch}.{kind}" for package in packages for arch in ("", ":*") for kind in kinds]
    return [file for pattern in patterns for file in folder.glob(pattern)]
