"""Write the root of an image into a tarball, for another machine: the same image gives the same bytes each time."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from builder import process
from builder.bootstrap import Progress
from builder.images.record import Image
from builder.images.tree import tamed
from schema.errors import ImageError
from schema.states import Emulation

# One thread: how many there are shows in the bytes.
_COMPRESS = ("zstd", "-q", "-T1", "-6", "-c")
_TOLD_EVERY = 2000


def export(image: Image, file: Path, *, progress: Progress) -> None:
    """Write what is in the image's root to the new *file*, a tar archive compressed by zstd.

    Of owners nothing is kept, of modes what an import keeps, of times those of files.
    Raise ImageError, ToolMissingError.
    """
    if image.emulation is Emulation.HYBRID:
        raise ImageError(
            f"the compilers of {image.name} are this machine's own, and would run on no {image.platform.arch} machine",
            advice='make one with images.emulation = "full", in another images.folder',
        )
    if image.interpreter is not None:
        raise ImageError(
            f"an interpreter was added to {image.name}: such an image is made where it is used",
            advice=f"export {image.platform.view}, and there wheelfarm image add-python {image.name} --from"
            f" {image.interpreter.file}",
        )
    process.need("zstd")
    if file.exists():
        raise ImageError(f"{file} is there already", advice="name another file, or remove it")
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("wb") as target:
            _compressed(image.root, target, progress)
        new.rename(file)
    except OSError as err:
        raise ImageError(f"{file} could not be written: {err}") from err
    finally:
        new.unlink(missing_ok=True)


def _compressed(root: Path, target: BinaryIO, progress: Progress) -> None:
    with subprocess.Popen(_COMPRESS, stdin=subprocess.PIPE, stdout=target) as zstd:
        assert zstd.stdin is not None  # noqa: S101 - for mypy: we asked for a pipe
        try:
            with zstd.stdin, tarfile.open(fileobj=zstd.stdin, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                for number, name in enumerate(_names(root), 1):
                    _add(archive, root, name)
                    if number % _TOLD_EVERY == 0:
                        progress(f"packing: {number} files", None)
        except BaseException:
            zstd.kill()
            raise
    if zstd.returncode:
        raise ImageError(f"zstd ended with {zstd.returncode}")


def _add(archive: tarfile.TarFile, root: Path, name: str) -> None:
    status = (root / name).lstat()
    member = tarfile.TarInfo(name)
    member.mode = tamed(stat.S_IMODE(status.st_mode), is_folder=stat.S_ISDIR(status.st_mode))
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    elif stat.S_ISLNK(status.st_mode):
        member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, str((root / name).readlink())
        archive.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        member.size, member.mtime = status.st_size, int(status.st_mtime)
        with (root / name).open("rb") as source:
            archive.addfile(member, source)


def _names(root: Path) -> Iterator[str]:
    """Every path below *root*, the folders before what is in them."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted((*folders, *files)):
            yield str(Path(folder, name).relative_to(root))
