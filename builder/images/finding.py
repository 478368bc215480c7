"""Find the images of this machine, and those that belong to one."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from builder import toolbox
from builder.images.record import Image, read
from schema.errors import ImageError, UnknownPlatformError
from schema.platforms import Platform, this_machine


def find(folder: Path, name: str) -> Image:
    """The image of that name; raise ImageError with the command that makes it, or brings it up to date."""
    if not (folder / name / "image.json").is_file():
        raise missing(folder, name)
    image = read(folder / name)
    if not toolbox.current(image.tools, image.platform):
        raise ImageError(
            f"the farm's own tools in the image {name} are of another version of the farm",
            advice=f"wheelfarm image make {name}",
        )
    if not has_bare(image):
        raise ImageError(
            f"the image {name}, of an older version of the farm, has no root to try wheels in",
            advice=f"wheelfarm image make {name}",
        )
    return image


def bare(image: Image) -> Image:
    """The image that *image*'s wheels are tried in: the same suite and interpreter, no compilers, no -dev packages.

    image: no derived one
    """
    return read(image.folder / "bare")


def installed(folder: Path) -> list[Image]:
    """Every image in *folder* that builds can have, by name."""
    if not folder.is_dir():
        return []
    found = []
    for entry in sorted(folder.iterdir()):
        # A broken image must not keep the others from being used.
        with contextlib.suppress(ImageError):
            if not entry.name.startswith(".") and (entry / "image.json").is_file():
                found.append(find(folder, entry.name))
    return found


def stand_in(image: Image) -> Image:
    """What takes the place of *image* where nothing of the platform runs: an emulated interpreter is ten times slower.

    This machine's own image of the same distribution, so with the same interpreter; *image* itself where that is not
    emulated, or where there is no such image.
    """
    if image.emulation is None:
        return image
    folder = next(path.parent for path in (image.folder, *image.folder.parents) if path.name == image.name)
    try:
        found = find(folder, replace(image.platform, arch=this_machine()).image)
    except (ImageError, UnknownPlatformError):
        return image
    # What an image that others made, in part or whole, did to a build would be in no record of it.
    is_ours = found.emulation is None and found.origin is None and found.interpreter is None
    return found if is_ours and found.python == image.python else image


def missing(folder: Path, name: str) -> ImageError:
    """The error for an image that is not there, with the command that makes it."""
    platform = Platform.of_image(name)
    make = f"make {name}" if platform.has_own_python else f"add-python {platform} --from TARBALL"
    return ImageError(f"there is no image {name} in {folder}", advice=f"wheelfarm image {make}")


def has_bare(image: Image) -> bool:
    """Whether it has a root to try wheels in."""
    return (image.folder / "bare" / "image.json").is_file()
