"""Make an image by mmdebstrap, and keep it up to date."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from builder import apt, assembling, emulation, process, stripping, toolbox
from builder.bootstrap import Progress, bootstrap
from builder.images import identity
from builder.images.finding import find, has_bare, missing
from builder.images.record import Image, read, write
from builder.images.tree import tame, tree_digest
from builder.images.turns import locked, unfinished
from schema.errors import ImageError
from schema.platforms import Platform, this_machine
from schema.states import Emulation


def make(folder: Path, name: str, *, emulated: Emulation = Emulation.HYBRID, progress: Progress) -> Image:
    """Make the image, unless it is there already; all of it or nothing.

    emulated: how, where this machine does not run its architecture by itself
    Raise ImageError, EmulationError, ToolMissingError.
    """
    platform = Platform.of_image(name)
    how = None if emulation.is_native(platform.arch) else emulated
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, name):
        if (folder / name / "image.json").is_file():
            bring_up_to_date(read(folder / name), progress)
            return find(folder, name)
        if not platform.has_own_python:
            raise missing(folder, name)
        with unfinished(folder, name) as making:
            if how is None:
                bootstrap(making, platform, progress)
            else:
                assembling.assemble(making, platform, how, progress, compiler=_compiler(folder, platform))
            tame(making / "root")
            identity.check_machine(making / "root", platform)
            progress("installing the farm's own tools", 0.80)
            toolbox.install(making / "tools", _compiler(folder, platform) or making / "root", platform)
            progress("taking the digest", 0.90)
            image = _of(name, making, how)
            progress("making the root to try wheels in", 0.95)
            _make_bare(image)
            making.chmod(0o755)
            making.rename(folder / name)
    progress("done", 1.0)
    return find(folder, name)


def install_tools(target: Path, image: Image) -> None:
    """Install the farm's own tools for *image*, which lies in the folder of all images or is being made there."""
    compiler = _compiler(image.folder.parent, image.platform)
    trusted = compiler is not None or (image.origin is None and image.interpreter is None)
    toolbox.install(target, compiler or image.root, image.platform, trusted=trusted)


def _compiler(folder: Path, platform: Platform) -> Path | None:
    """The root of this machine's own image of the same distribution, where there is one that is whole and ours."""
    native = folder / replace(platform, arch=this_machine()).image
    if native.name == platform.image or not (native / "image.json").is_file():
        return None
    found = read(native)
    return None if found.origin or found.interpreter else native / "root"


def _of(name: str, folder: Path, how: Emulation | None) -> Image:
    """The image of a finished root in *folder*."""
    root = folder / "root"
    packages = apt.installed(root, assembling.architectures(Platform.of_image(name), how))
    return Image(
        name=name,
        folder=folder,
        digest=tree_digest(root),
        packages=packages,
        python=_python(root, packages),
        emulation=how,
    )


def _make_bare(image: Image) -> None:
    """Make the image's bare root, and record the image with the libraries that that lacks."""
    with unfinished(image.folder, "bare") as making:
        if image.emulation is None:
            stripping.strip(making / "root", image.root, image.folder / "apt", image.platform)
        else:
            compiler = _compiler(image.folder.parent, image.platform)
            assembling.assemble_bare(making, image.platform, lambda *_: None, compiler=compiler)
            process.remove(making / "apt")
            tame(making / "root")
        for shared in ("tools", "apt"):
            (making / shared).symlink_to(Path("..", shared))
        bare = _of(image.name, making, None if image.emulation is None else Emulation.FULL)
        write(bare)
        lacking = image.packages.keys() - bare.packages.keys()
        write(replace(image, libraries=stripping.libraries(image.root, lacking)))
        making.chmod(0o755)
        making.rename(image.folder / "bare")


def bring_up_to_date(image: Image, progress: Progress) -> None:
    """Give an image of an older farm what this one's have; builds that run keep what they have until they end."""
    if not has_bare(image):
        progress("making the root to try wheels in", 0.0)
        _make_bare(image)
    if not toolbox.current(image.tools, image.platform):
        _renew_tools(image, progress)


def _renew_tools(image: Image, progress: Progress) -> None:
    progress("installing the farm's own tools", 0.5)
    new, old = image.folder / ".new-tools", image.folder / ".old-tools"
    process.remove(new)
    process.remove(old)
    new.mkdir()
    install_tools(new, image)
    new.chmod(0o755)
    with contextlib.suppress(FileNotFoundError):  # who did this before may have been killed here
        image.tools.rename(old)
    new.rename(image.tools)
    process.remove(old)


def _python(root: Path, packages: dict[str, str]) -> str:
    """The full version of the image's ``python3``, such as 3.11.2, as its package says."""
    interpreter = (root / "usr/bin/python3").readlink().name
    try:
        version = packages[f"{interpreter}-minimal"]
    except KeyError:
        raise ImageError(f"the image has no {interpreter}") from None
    return version.split("-")[0].split("~")[0].split("+")[0]
