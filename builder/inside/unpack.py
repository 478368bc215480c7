"""Unpack a hostile source distribution (B-03, T8), then read what it says about itself.

Regular files, folders and links that stay inside the tree, below one top folder; nothing else. Written by hand because
``tarfile.data_filter`` is missing from Debian 12's Python 3.11.2, and because the filter still lets links and bombs
through.
"""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from builder.inside import project
from builder.inside.members import TAR_MODES, Member, tar_members, zip_members
from builder.inside.refusal import RefusedError

_CHUNK_BYTES = 1 << 20
_MAX_DEPTH = 100
# A bomb is told by its ratio, but only once it is large enough to hurt.
_MAX_RATIO = 100
_RATIO_FROM_BYTES = 64 * 2**20
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    ValueError,
)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Unpack ``archive`` into ``into`` (without its top folder); answer what ``project.read`` finds, and ``newest``."""
    archive, into = Path(request["archive"]), Path(request["into"])
    newest = unpack(archive, into, max_members=request["max_members"], max_bytes=request["max_bytes"])
    return {"newest": newest, **project.read(into)}


def unpack(archive: Path, into: Path, *, max_members: int, max_bytes: int) -> int:
    """Return the newest regular file's time (seconds since 1970); raise RefusedError for what B-03 forbids."""
    tree = _Tree(into, max_members=max_members, max_bytes=min(max_bytes, _most(archive)))
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                for member in zip_members(opened):
                    tree.add(member)
        else:
            with tarfile.open(archive, TAR_MODES[archive.suffix]) as opened_tar:
                for member in tar_members(opened_tar):
                    tree.add(member)
    except _UNREADABLE as err:
        raise _refused(f"not a readable archive: {type(err).__name__}: {err}") from err
    except OSError as err:
        if err.errno in _NO_ROOM:
            raise
        raise _refused(f"cannot be unpacked: {err.strerror or err}") from err
    tree.finish()
    return tree.newest


def _most(archive: Path) -> int:
    return max(archive.stat().st_size * _MAX_RATIO, _RATIO_FROM_BYTES)


class _Tree:
    """The folder that grows; links come last, so that nothing is ever written through one."""

    def __init__(self, folder: Path, *, max_members: int, max_bytes: int) -> None:
        self.folder = folder
        self.newest = 0
        self._members_left = max_members
        self._bytes_left = max_bytes
        self._top = ""
        self._links: list[tuple[Path, str]] = []

    def add(self, member: Member) -> None:
        """Write one member, or remember it if it is a link."""
        self._members_left -= 1
        if self._members_left < 0:
            raise _refused("too many members")
        parts = _parts(member.name)
        if not parts:
            return
        self._below_one_top(parts[0], member)
        path = self.folder.joinpath(*parts[1:])
        if member.kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if member.kind == "symlink":
            self._links.append((path, _inside(parts, member)))
        elif member.kind == "hard link":
            self._copy(self.folder.joinpath(*_parts(member.target)[1:]), path, member)
        else:
            self._write(path, member)

    def _below_one_top(self, top: str, member: Member) -> None:
        if len(_parts(member.name)) == 1 and member.kind != "folder":
            raise _refused(f"{member.name!r} does not lie in a folder")
        self._top = self._top or top
        if top != self._top:
            raise _refused(f"two top folders: {self._top!r} and {top!r}")

    def _write(self, path: Path, member: Member) -> None:
        with member.open() as source, path.open("wb") as target:
            self._pour(source, target.write, member)
        path.chmod(0o755 if member.executable else 0o644)
        os.utime(path, (member.mtime, member.mtime))
        self.newest = max(self.newest, member.mtime)

    def _copy(self, source: Path, path: Path, member: Member) -> None:
        # `source` has no "..", no link has been made yet, so it lies in the tree or nowhere.
        if not source.is_file() or source == path:
            raise _refused(f"{member.name!r} is a hard link to {member.target!r}, which is not a file before it")
        with source.open("rb") as opened, path.open("wb") as target:
            self._pour(opened, target.write, member)
        shutil.copystat(source, path)

    def _pour(self, source: IO[bytes], write: Callable[[bytes], object], member: Member) -> None:
        while chunk := source.read(_CHUNK_BYTES):
            self._bytes_left -= len(chunk)
            if self._bytes_left < 0:
                raise _refused(f"too large when unpacked (at {member.name!r})")
            write(chunk)

    def finish(self) -> None:
        """Make the links; refuse each that leaves the tree by way of another."""
        if not self._top:
            raise _refused("an empty archive")
        for path, target in self._links:
            if os.path.lexists(path):
                raise _refused(f"{path.name!r} is a link and something else at once")
            path.symlink_to(target)
        root = os.path.realpath(self.folder)
        for path, target in self._links:
            if os.path.commonpath([root, os.path.realpath(path)]) != root:
                raise _refused(f"the link {path.name!r} to {target!r} leaves its folder")


def _parts(name: str) -> list[str]:
    """The parts of a member's path, top folder first; refuse what could leave it."""
    if name.startswith("/"):
        raise _refused(f"an absolute path: {name!r}")
    if "\0" in name:
        raise _refused(f"a NUL in the name {name!r}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(f"a path with '..': {name!r}")
    if len(parts) > _MAX_DEPTH:
        raise _refused(f"folders {len(parts)} deep")
    return parts


def _inside(parts: list[str], member: Member) -> str:
    """The symlink's target, if it is relative and stays below the top folder."""
    target = member.target
    joined = os.path.normpath("/".join([*parts[:-1], target]))
    if target.startswith("/") or not target or joined.split("/")[0] != parts[0]:
        raise _refused(f"the link {member.name!r} to {target!r} leaves its folder")
    return target


def _refused(reason: str) -> RefusedError:
    return RefusedError(f"the source distribution was refused: {reason}", failure_class="sdist")
