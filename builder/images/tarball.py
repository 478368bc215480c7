"""Unpack the tarball of a root file system that somebody else made: nothing of it comes to lie outside of its folder.

Files, folders, links, and hard links between its own files. Whatever it says, all of it belongs to who unpacks it,
nobody else can write to it, and no program of it runs with another user's rights. Links are data: nothing is written
through one. Devices, FIFOs and what lies below ``dev``, ``proc``, ``run``, ``sys`` and ``tmp`` are left out.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from builder import process
from builder.bootstrap import Progress
from builder.images.tree import tamed
from builder.process import ProcessError
from builder.rootfs import Root
from schema.errors import ImageError
from schema.names import Sha256
from schema.printable import one_line

# What each file takes on the disk beside its bytes.
_ENTRY_BYTES = 512
_LONGEST_NAME, _DEEPEST, _LONGEST_LINK = 2048, 100, 4095
_HEADER_BYTES = 2**20
_CHUNK_BYTES = 2**20
_TOLD_EVERY = 2000
_LAST_MOMENT = 2**32 - 1
_NOT_KEPT = frozenset({"dev", "proc", "run", "sys", "tmp"})
_FIRST_PRINTABLE, _DELETE = 32, 127
# How the file begins → what unpacks it, with little memory whatever it says it needs.
_DECOMPRESSORS = {
    b"\x1f\x8b": ("gzip", "-dc"),
    b"BZh": ("bzip2", "-dc"),
    b"\xfd7zXZ\0": ("xz", "-dc", "--memlimit-decompress=256MiB"),
    b"\x28\xb5\x2f\xfd": ("zstd", "-dcq", "--memory=256MB"),
}
_LONG = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may come out of a tarball: what all of it takes on the disk, and in how many files and folders."""

    most_bytes: int = 8 * 2**30
    most_members: int = 400_000


LIMITS = Limits()


class _RefusedError(Exception):
    """What is wrong with the tarball, as the end of a sentence."""


def unpack(tarball: Path, into: Path, *, limits: Limits = LIMITS, progress: Progress) -> Sha256:
    """Unpack *tarball*, plain or by gzip, bzip2, xz or zstd, to the new folder *into*; the digest of the tarball.

    Raise ImageError for a tarball that is refused, is none, or does not fit.
    """
    try:
        into.mkdir(mode=0o755)
        with tarball.open("rb") as file, Root(into) as root:
            digest = Sha256(hashlib.file_digest(file, "sha256").hexdigest())
            file.seek(0)
            _unpack(file, root, limits, progress)
    except _RefusedError as err:
        raise ImageError(f"{tarball.name} was refused: {err}") from err
    except (tarfile.TarError, ProcessError, ValueError, RecursionError, OverflowError) as err:
        raise ImageError(f"{tarball.name} is no readable tarball: {one_line(str(err))}") from err
    except OSError as err:
        raise ImageError(f"{tarball.name} could not be unpacked: {one_line(str(err))}") from err
    return digest


def _unpack(file: BinaryIO, root: Root, limits: Limits, progress: Progress) -> None:
    tree = _Tree(root, limits)
    with _decompressed(file) as stream:
        # As it comes: it may be larger than memory.
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header, encoding="utf-8", errors="strict") as archive:
            for number, member in enumerate(_members(archive), 1):
                tree.add(archive, member)
                if number % _TOLD_EVERY == 0:
                    progress(f"unpacking: {number} files, {tree.used_bytes / 2**20:.0f} MiB", None)
        _drain(stream, limits.most_bytes)
    tree.finish()


class _Header(tarfile.TarInfo):
    """A header whose size is looked at before memory is taken for what it announces."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in _LONG and self.size > _HEADER_BYTES):
            raise _RefusedError(f"a header of {self.size} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_sparse()
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]

    def _refuse_sparse(self, *_: object) -> NoReturn:
        raise _RefusedError("a sparse file: pack it without --sparse")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


@contextlib.contextmanager
def _decompressed(file: BinaryIO) -> Iterator[BinaryIO]:
    begin = file.read(6)
    file.seek(0)
    argv = next((argv for magic, argv in _DECOMPRESSORS.items() if begin.startswith(magic)), None)
    if argv is None:
        yield file
        return
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    with process.reading(argv, given=file) as stream:
        yield stream


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        yield member
        archive.members.clear()  # type: ignore[attr-defined] # it would remember each of them


def _drain(stream: BinaryIO, most_bytes: int) -> None:
    """To the end, where a decompressor tells whether its file was whole."""
    while chunk := stream.read(_CHUNK_BYTES):
        most_bytes -= len(chunk)
        if most_bytes < 0:
            raise _RefusedError("endless bytes after the archive's end")


class _Tree:
    """The root as it grows."""

    def __init__(self, root: Root, limits: Limits) -> None:
        self._root, self._limits = root, limits
        self._members, self.used_bytes = 0, 0
        self._newest: list[str] = []
        # Given at the end, the deepest first: one that is closed to us could not be filled.
        self._modes: dict[str, int] = {}

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = _parts(member.name)
        self._count(_ENTRY_BYTES + (0 if member.issym() or member.islnk() or member.isdir() else member.size), member)
        if len(parts) > 1 and parts[0] in _NOT_KEPT:
            return
        if not parts:
            return
        try:
            self._add(archive, member, parts)
        except OSError as err:
            raise _RefusedError(f"{member.name!r}: {_why(err)}") from err

    def finish(self) -> None:
        for name in sorted(self._modes, reverse=True):
            with self._at(name) as folder:
                os.chmod(".", self._modes[name], dir_fd=folder)

    def _add(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> None:
        name = "/".join(parts)
        if member.isdir():
            self._make_folder(parts)
            self._modes[name] = tamed(member.mode, is_folder=True)
            return
        if not (member.isreg() or member.issym() or member.islnk()):
            return
        self._make_folder(parts[:-1])
        with self._at("/".join(parts[:-1])) as folder:
            if member.issym():
                os.symlink(_link(member), parts[-1], dir_fd=folder)
            elif member.islnk():
                self._link(_parts(member.linkname), folder, parts[-1])
            else:
                self._write(archive, member, folder, parts[-1])

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo, folder: int, name: str) -> None:
        number = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        source = archive.extractfile(member)
        with os.fdopen(number, "wb") as target:
            while source is not None and (chunk := source.read(_CHUNK_BYTES)):
                target.write(chunk)
            target.flush()
            os.fchmod(number, tamed(member.mode, is_folder=False))
            # Byte code counts while its source has the time that it notes.
            moment = min(max(int(member.mtime), 0), _LAST_MOMENT)
            os.utime(number, (moment, moment))

    def _link(self, source: list[str], folder: int, name: str) -> None:
        """A hard link to a file that was there before, under this root."""
        if not source:
            raise _RefusedError(f"{name!r} is a hard link to no file")
        with self._at("/".join(source[:-1])) as at:
            if not stat.S_ISREG(os.stat(source[-1], dir_fd=at, follow_symlinks=False).st_mode):
                raise _RefusedError(f"{name!r} is a hard link to {'/'.join(source)!r}, which is no file")
            os.link(source[-1], name, src_dir_fd=at, dst_dir_fd=folder, follow_symlinks=False)

    def _make_folder(self, parts: list[str]) -> None:
        """With those above it; one that is there may be no link."""
        if parts == self._newest:
            return
        for depth, part in enumerate(parts):
            with self._at("/".join(parts[:depth])) as folder, contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
        with self._at("/".join(parts)):
            self._newest = parts

    @contextlib.contextmanager
    def _at(self, name: str) -> Iterator[int]:
        number = self._root.folder(name, links=False)
        try:
            yield number
        finally:
            os.close(number)

    def _count(self, more_bytes: int, member: tarfile.TarInfo) -> None:
        self._members += 1
        self.used_bytes += more_bytes
        if self._members > self._limits.most_members:
            raise _RefusedError(f"more than {self._limits.most_members} files and folders")
        if self.used_bytes > self._limits.most_bytes:
            raise _RefusedError(
                f"it is larger than {self._limits.most_bytes / 2**30:.1f} GiB when unpacked (at {member.name!r});"
                " --most-gib allows more"
            )


def _parts(name: str) -> list[str]:
    """The parts of a path below the root; refuse what could lead elsewhere, or be read as something else."""
    if name.startswith("/"):
        raise _RefusedError(f"an absolute path: {name!r}")
    if not _is_printable(name):
        raise _RefusedError(f"a control character in the name {name!r}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _RefusedError(f"a path with '..': {name!r}")
    if len(parts) > _DEEPEST or len(name) > _LONGEST_NAME:
        raise _RefusedError(f"a path of {len(name)} characters, {len(parts)} deep")
    return parts


def _link(member: tarfile.TarInfo) -> str:
    target = member.linkname
    if not target or len(os.fsencode(target)) > _LONGEST_LINK or not _is_printable(target):
        raise _RefusedError(f"the link {member.name!r} to {target[:200]!r}")
    return target


def _is_printable(text: str) -> bool:
    return not any(ord(letter) < _FIRST_PRINTABLE or ord(letter) == _DELETE for letter in text)


def _why(err: OSError) -> str:
    return {
        errno.EEXIST: "is there twice",
        errno.ELOOP: "leads through a link",
        errno.ENOTDIR: "lies in what is no folder",
        errno.ENOENT: "links to what is not there",
        errno.ENAMETOOLONG: "its name is too long",
    }.get(err.errno or 0, err.strerror or str(err))
