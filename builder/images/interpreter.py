"""An interpreter in a tarball that somebody made: taken out, without what others installed, and looked at unrun.

A relocatable CPython, as python-build-standalone has them (``python/bin/python3.13``), or what ``make install`` made
below any prefix (``usr/local/bin/python3.13``): CPython finds its library beside itself, wherever it lies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from builder import interpreters, process
from builder.bootstrap import Progress
from builder.images import tarball
from builder.rootfs import Root
from schema.errors import ImageError
from schema.names import Sha256
from schema.platforms import Platform
from schema.printable import one_line
from schema.wheels import elf, machines, platform_tag

# Below its library: other people's projects, which the image's own tools would find, and what Debian leaves out, too.
_LEFT_OUT = ("site-packages", "test", "lib2to3/tests")
# Where a program in bin has its own libraries, wherever both lie.
_BESIDE = "$ORIGIN/../lib"
_PROGRAM = re.compile(r"python3\.\d+t?")
_KEPT_PROGRAMS = re.compile(r"python(3(\.\d+)?)?(-config)?")


def take(archive: Path, into: Path, platform: Platform, *, limits: tarball.Limits, progress: Progress) -> Sha256:
    """Make the new folder *into* of the interpreter in *archive*; the digest of the archive.

    Raise ImageError for an archive that is refused, or has no whole interpreter that could run in *platform*'s images.
    """
    unpacked = into.with_name(f"{into.name}-unpacked")
    digest = tarball.unpack(archive, unpacked, limits=limits, progress=progress)
    progress("looking at its files", 0.2)
    name = one_line(archive.name)
    _find(unpacked, platform, name).rename(into)
    process.remove(unpacked)
    for fault in _faults(into, platform):
        raise ImageError(f"the interpreter in {name} cannot be added to {platform.view}: {fault}")
    _clean(into, platform)
    return digest


def _find(unpacked: Path, platform: Platform, name: str) -> Path:
    """The folder that is its prefix; links are not followed."""
    wanted = interpreters.versioned(platform)
    there = [(Path(folder).parent, file) for folder, _, files in os.walk(unpacked) for file in files
             if Path(folder).name == "bin" and _PROGRAM.fullmatch(file)]  # fmt: skip
    found = [prefix for prefix, file in there if file == wanted and _is_whole(prefix, wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ImageError(f"{name} has {len(found)} interpreters: pack one alone")
    others = ", ".join(sorted({file for _, file in there})) or "no interpreter at all"
    raise ImageError(
        f"{name} has no bin/{wanted} with lib/{wanted} beside it, but {others}",
        advice=f"pack what make install of CPython {wanted.removeprefix('python')} made, or take an install_only"
        " archive of python-build-standalone",
    )


def _is_whole(prefix: Path, wanted: str) -> bool:
    with Root(prefix) as root:
        return all(root.holds(name, links=False) for name in (f"bin/{wanted}", f"lib/{wanted}/os.py"))


def _faults(prefix: Path, platform: Platform) -> Iterator[str]:
    """What is wrong with its files, the program's first, as the ends of a sentence."""
    header = f"include/{interpreters.versioned(platform)}/Python.h"
    with Root(prefix) as root:
        if not root.holds(header, links=False):
            yield f"it has no headers ({header}), without which nothing compiles"
        for folder, folders, files in os.walk(prefix):
            folders.sort()
            for path in (Path(folder, name) for name in sorted((*folders, *files))):
                inside = path.relative_to(prefix)
                if path.is_symlink():
                    if _leads_out(inside, path.readlink()):
                        yield f"the link {one_line(str(inside))} leads out of it"
                elif path.is_file():
                    yield from (f"{one_line(str(inside))} {fault}" for fault in _of_elf(root, inside, platform))


def _leads_out(link: Path, target: Path) -> bool:
    """Whether a link may lead out of the folder that it is in, whatever other links it passes.

    Up first, from the link's own folder, which is no link; then down only, where each other link is judged as well.
    """
    ups = sum(part == ".." for part in target.parts)
    return target.is_absolute() or ups > len(link.parts) - 1 or target.parts[:ups] != ("..",) * ups


def _of_elf(root: Root, name: Path, platform: Platform) -> Iterator[str]:
    try:
        with root.open(str(name), links=False) as file:
            if file.read(len(elf.MAGIC)) != elf.MAGIC:
                if str(name) == f"bin/{interpreters.versioned(platform)}":
                    yield "is no program"
                return
            found = elf.read(file)
    except (OSError, ValueError) as err:
        yield f"cannot be read: {one_line(str(err))}"
        return
    yield from machines.faults(found, platform.arch)
    yield from platform_tag.beyond_release(found, platform.distribution)
    shared = [library for library in found.needed if library.startswith("libpython")]
    if shared and name.parts[0] == "bin" and _BESIDE not in found.search_paths:
        yield (
            f"does not look for {shared[0]} beside itself: compile it without --enable-shared, or patchelf --set-rpath"
            f" '{_BESIDE}' {name}"
        )


def _clean(prefix: Path, platform: Platform) -> None:
    """Leave out what is not the interpreter's own, and all byte code: nobody knows what it was compiled from."""
    library = prefix / "lib" / interpreters.versioned(platform)
    for name in _LEFT_OUT:
        process.remove(library / name)
    (library / "site-packages").mkdir(mode=0o755)
    for cache in [
        Path(folder, name) for folder, names, _ in os.walk(prefix) for name in names if name == "__pycache__"
    ]:
        process.remove(cache)
    for program in (prefix / "bin").iterdir():
        if not _KEPT_PROGRAMS.fullmatch(program.name):
            process.remove(program)
