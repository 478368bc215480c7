"""The members of tar and zip archives as one kind of thing; what is neither file, folder nor link is refused here."""

from __future__ import annotations

import calendar
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Literal

from builder.inside.refusal import RefusedError

# By the last suffix of the file's name: decompressors that the name does not promise are not tried.
TAR_MODES: dict[str, Literal["r:gz", "r:bz2", "r:xz"]] = {".gz": "r:gz", ".tgz": "r:gz", ".bz2": "r:bz2", ".xz": "r:xz"}

_LAST_MOMENT = 2**32 - 1
_FIRST_ZIP_MOMENT = 315532800  # 1980-01-01
_LINK_LIMIT_BYTES = 4096
_ENCRYPTED = 1
_MADE_ON_UNIX = 3


@dataclass(frozen=True)
class Member:
    """One member; *kind* is ``file``, ``folder``, ``symlink`` or ``hard link``, *mtime* in seconds since 1970."""

    name: str
    kind: str
    open: Callable[[], IO[bytes]]
    executable: bool = False
    mtime: int = 0
    target: str = ""


def tar_members(archive: tarfile.TarFile) -> Iterator[Member]:
    """Each member as it comes."""
    for info in archive:
        if info.isdir():
            kind = "folder"
        elif info.issym():
            kind = "symlink"
        elif info.islnk():
            kind = "hard link"
        elif info.isreg() and not info.issparse():
            kind = "file"
        else:
            raise _not_a_file(info.name)
        yield Member(
            name=info.name,
            kind=kind,
            open=lambda info=info: archive.extractfile(info) or io.BytesIO(),  # type: ignore[misc]
            executable=bool(info.mode & 0o111),
            mtime=min(max(int(info.mtime), 0), _LAST_MOMENT),
            target=info.linkname,
        )


def zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    """Each member in the order of the central directory."""
    for info in archive.infolist():
        mode = info.external_attr >> 16 if info.create_system == _MADE_ON_UNIX else 0
        if info.flag_bits & _ENCRYPTED:
            raise _refused(f"{info.filename!r} is encrypted")
        if info.is_dir():
            kind = "folder"
        elif stat.S_ISLNK(mode):
            kind = "symlink"
        elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
            kind = "file"
        else:
            raise _not_a_file(info.filename)
        yield Member(
            name=info.filename,
            kind=kind,
            open=lambda info=info: archive.open(info),  # type: ignore[misc]
            executable=bool(mode & 0o111),
            mtime=_moment(info),
            target=_target(archive, info) if kind == "symlink" else "",
        )


def _moment(info: zipfile.ZipInfo) -> int:
    try:
        return max(calendar.timegm((*info.date_time, 0, 0, 0)), _FIRST_ZIP_MOMENT)
    except ValueError:
        return _FIRST_ZIP_MOMENT


def _target(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with archive.open(info) as file:
        return file.read(_LINK_LIMIT_BYTES).decode("utf-8", "surrogateescape")


def _not_a_file(name: str) -> RefusedError:
    return _refused(f"{name!r} is neither a file, a folder nor a link")


def _refused(reason: str) -> RefusedError:
    return RefusedError(f"the source distribution was refused: {reason}", failure_class="sdist")
