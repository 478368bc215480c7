"""Take a root file system that somebody else made as an image: a tarball, of a machine, a container or another farm.

Whoever made it is not trusted with this machine: it is unpacked by ``tarball``, and from then on only programs inside
the sandbox touch its files. They tell what it is, and it is refused where that is not what its name says.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builder import emulation, inspection
from builder.bootstrap import Progress
from builder.images import identity, tarball
from builder.images.finding import find
from builder.images.making import install_tools
from builder.images.record import Image, Origin, write
from builder.images.tree import tree_digest
from builder.images.turns import locked, unfinished
from schema.errors import ImageError
from schema.platforms import Platform
from schema.printable import one_line
from schema.states import Emulation

# Without these it is something else, and the sandbox would have nothing to show.
_FOLDERS = ("usr", "etc")
_MOST_TOLD = 5


def adopt(
    folder: Path,
    name: str,
    archive: Path,
    *,
    bare: Path | None = None,
    limits: tarball.Limits = tarball.LIMITS,
    progress: Progress,
) -> Image:
    """Make the image *name* of the tarball *archive*; all of it or nothing.

    bare: the tarball of the root to try wheels in; None: they are tried where they are built
    Raise ImageError, with what is wrong with it, EmulationError, ToolMissingError.
    """
    platform = Platform.of_image(name)
    if not platform.has_own_python:
        raise ImageError(
            f"{name} is {platform.view} with an interpreter that was added, and no image of its own",
            advice=f"import {platform.view}, then wheelfarm image add-python {name} --from TARBALL",
        )
    emulation.need(platform.arch)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, name):
        if (folder / name).exists():
            raise ImageError(f"there is an image {name} already", advice=f"remove {folder / name} first")
        with unfinished(folder, name) as making:
            making.chmod(0o755)
            image = _taken(making, platform, archive, limits, progress)
            progress("installing the farm's own tools", 0.7)
            install_tools(image.tools, image)
            image.tools.chmod(0o755)
            progress("trying compiler and interpreter", 0.85)
            _refuse(inspection.problems(image))
            _make_bare(image, platform, bare, limits, progress)
            write(image)
            making.rename(folder / name)
    progress("done", 1.0)
    return find(folder, name)


def _taken(making: Path, platform: Platform, archive: Path, limits: tarball.Limits, progress: Progress) -> Image:
    """The root of a tarball, in the folder *making*, which has none yet."""
    progress(f"unpacking {archive.name}", 0.0)
    root = making / "root"
    origin = Origin(file=one_line(archive.name), sha256=tarball.unpack(archive, root, limits=limits, progress=progress))
    if missing := [name for name in _FOLDERS if (root / name).is_symlink() or not (root / name).is_dir()]:
        raise ImageError(
            f"{archive.name} is no root file system: it has no folder {missing[0]}",
            advice="of a container, docker export makes one (docker save does not)",
        )
    progress("asking what it is", 0.5)
    how = None if emulation.is_native(platform.arch) else Emulation.FULL
    identity.check_machine(root, platform)
    told = identity.ask(root, platform, {} if how is None else emulation.variables(platform.arch))
    progress("taking the digest", 0.6)
    return Image(
        name=platform.view,
        folder=making,
        digest=tree_digest(root),
        packages=told.packages,
        python=told.python,
        emulation=how,
        origin=origin,
    )


def _make_bare(
    image: Image, platform: Platform, archive: Path | None, limits: tarball.Limits, progress: Progress
) -> None:
    folder = image.folder / "bare"
    folder.mkdir(mode=0o755)
    if archive is None:
        (folder / "root").symlink_to(Path("..", "root"))
        bare = replace(image, folder=folder)
    else:
        bare = _taken(folder, platform, archive, limits, progress)
        if bare.python != image.python:
            raise ImageError(f"{archive.name} has Python {bare.python}, but the image has {image.python}")
    (folder / "tools").symlink_to(Path("..", "tools"))
    write(bare)


def _refuse(problems: list[str]) -> None:
    if problems:
        more = f" (and {len(problems) - _MOST_TOLD} more)" if len(problems) > _MOST_TOLD else ""
        raise ImageError(
            f"nothing can be built in it: {'; '.join(problems[:_MOST_TOLD])}{more}",
            advice="it needs gcc, g++, make, pkg-config and the headers of its python3; install them there, and pack it"
            " anew",
        )
