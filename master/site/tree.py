"""The files of the site on disk: each changes as a whole or not at all, and none is written that is right already."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from master.store import sync_folder, write_atomically
from schema.errors import StoreError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESSED = (".gz", ".zst")  # what lies beside a page, for those who take it
_GZIP_LEVEL = 6  # 9 takes twice as long for two per cent
_PUBLIC_FOLDER = 0o755
_HIDDEN = "."  # names that begin with it are work in progress; nothing serves them


def folder(path: Path) -> Path:
    """Make the folder *path* if there is none, for everybody to read as its files are: nginx has a user of its own."""
    with _naming(path):
        if not path.is_dir():
            folder(path.parent)
            path.mkdir(exist_ok=True)
            path.chmod(_PUBLIC_FOLDER)
    return path


def sync(path: Path) -> None:
    """Make what was renamed in the folder *path* survive a power cut."""
    with _naming(path):
        sync_folder(path)


def write(path: Path, data: bytes) -> bool:
    """Put *data* at *path*; return whether that changed anything. Raise StoreError if it cannot be written."""
    if _is(path, data):
        return False
    with _naming(path):
        write_atomically(path, data)
    return True


def write_compressed(path: Path, data: bytes) -> bool:
    """The same, and its compressed forms beside it; the same data always gives the same bytes."""
    gzipped = gzip.compress(data, _GZIP_LEVEL, mtime=0)
    changed = write(path, data) | write(path.with_name(f"{path.name}.gz"), gzipped)
    return changed | write(path.with_name(f"{path.name}.zst"), zstd.compress(data))


def link(source: Path, target: Path) -> None:
    """Make *target* the same file as *source*, or a copy of it where that is another file system.

    Raise StoreError if that cannot be done, also where there is no *source*.
    """
    with _naming(target):
        if same(str(source), str(target)):
            return
        temporary = target.parent / f"{_HIDDEN}new-{source.name}-{os.getpid()}"
        try:
            _link_or_copy(source, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def same(source: str, target: str) -> bool:
    """Whether both are one file, or *target* a finished copy: its name and the source's digest never change.

    False where either is not there; raise StoreError if the disk does not tell. Texts, since a page of thousands of
    files asks for each, and a Path costs more than the asking.
    """
    try:
        wanted, found = os.stat(source), os.stat(target)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        with _naming(Path(target)):
            raise
    if os.path.samestat(wanted, found):
        return True
    return wanted.st_dev != found.st_dev and (wanted.st_size, wanted.st_mtime_ns) == (found.st_size, found.st_mtime_ns)


def remove_folder(path: Path) -> None:
    """Remove a folder of pages at once, if there is one: nobody sees half of it."""
    if not path.is_dir():
        return
    with _naming(path):
        grave = Path(tempfile.mkdtemp(dir=path.parent, prefix=f"{_HIDDEN}gone-"))
        path.replace(grave)
        sync_folder(path.parent)
        shutil.rmtree(grave)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)


def keep_only(path: Path, names: Collection[str]) -> None:
    """Remove everything but *names* from the folder *path*, if there is one."""
    with suppress(FileNotFoundError):
        for entry in sorted(path.iterdir()):
            if entry.name not in names:
                remove(entry)


def _is(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as err:
        if err.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}:
            raise
        shutil.copy2(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file and the next thing to try, whatever the operating system says."""
    try:
        yield
    except OSError as err:
        full = err.errno in {errno.ENOSPC, errno.EDQUOT}
        advice = "free some space; the farm goes on by itself" if full else None
        raise StoreError(f"the site cannot take {path}: {err.strerror}", advice=advice) from err
