"""A copy of the farm from which it can be brought up again, made while it runs.

One folder holds many backups: ``store/`` with each stored file once, as the farm's own store has it, and a folder
for each backup, named after its time, with the database, the keys and the settings. The database is copied before the
store is read: a row's files are always there before the row is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine

from master.keep import dump, manifest
from master.keep.manifest import BackupError, Manifest
from master.store import Store, sync_folder
from schema.errors import StoreError
from schema.names import Sha256, sha256_of
from schema.settings import Settings

_STAMP = "%Y-%m-%dT%H-%M-%S.%fZ"
_NEW = ".new-"
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP})


def _silence(_text: str) -> None:
    """Nobody wants to hear what goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One that is complete.

    copied: how many files of the store came new into the folder; files: how many it needs in all
    damaged: digests of files that were not copied because their bytes are wrong: ``wheelfarm scrub`` deals with them
    """

    folder: Path
    files: int
    copied: int
    damaged: tuple[Sha256, ...]


def back_up(
    database: Engine,
    settings: Settings,
    folder: Path,
    *,
    settings_file: Path | None = None,
    tell: Callable[[str], None] = _silence,
) -> Backup:
    """Add a backup to *folder*; a half-made one is never called a backup. Raise BackupError."""
    made_at = datetime.now(UTC)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = Path(tempfile.mkdtemp(dir=folder, prefix=_NEW))  # mode 0700: it holds keys
        try:
            return _fill(database, settings, target, made_at, settings_file=settings_file, tell=tell)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
    except OSError as err:
        raise BackupError(f"the backup in {folder} cannot be written: {err.strerror}") from err


def newest(folder: Path) -> Path:
    """The last complete backup below *folder*, or *folder* itself if it is one; raise BackupError if there is none."""
    if (folder / manifest.NAME).is_file():
        return folder
    found = sorted(item.parent for item in folder.glob(f"[0-9]*/{manifest.NAME}"))
    if not found:
        raise BackupError(f"there is no backup in {folder}")
    return found[-1]


def faults(backup: Path) -> Iterator[str]:
    """Read all of *backup* again; what is wrong with it."""
    wrong = list(Manifest.read(backup).faults(backup))
    yield from wrong
    if not wrong:  # else the list of the stored files may be wrong itself
        yield from stored_faults(backup).values()


def stored_faults(backup: Path) -> dict[Sha256, str]:
    """Stored files that *backup* needs and that are damaged or gone, and what is wrong with them."""
    store = store_of(backup)
    found = {digest: manifest.fault_of(store.path(digest), digest) for digest in manifest.blobs(backup)}
    return {digest: fault for digest, fault in found.items() if fault}


def store_of(backup: Path) -> Store:
    """Where the stored files of *backup* lie."""
    return Store(backup.parent / "store")


def _fill(
    database: Engine,
    settings: Settings,
    target: Path,
    made_at: datetime,
    *,
    settings_file: Path | None,
    tell: Callable[[str], None],
) -> Backup:
    kind = database.dialect.name
    tell("copying the database")
    dump.dump(database, target / dump.file_name(kind))
    for source in _small(settings):
        _copy(source, target / source.relative_to(settings.farm.home))
    if settings_file is not None:
        _copy(settings_file, target / "farm.toml")
    tell("copying the store")
    files, copied, damaged = _copy_store(Store(settings.store), store_of(target), target / manifest.BLOBS, tell)
    Manifest(
        made_at=made_at,
        wheelfarm=version("wheelfarm"),
        farm=settings.farm.name,
        database=kind,
        files={str(path.relative_to(target)): sha256_of(path) for path in _files(target)},
    ).write(target)
    for path in _files(target):
        path.chmod(0o600)
        _sync(path)
    final = target.with_name(made_at.strftime(_STAMP))
    sync_folder(target)
    target.rename(final)
    sync_folder(final.parent)
    return Backup(folder=final, files=files, copied=copied, damaged=damaged)


def _small(settings: Settings) -> Iterator[Path]:
    """The keys that sign: the farm's own, and those of the nodes of this machine."""
    for folder in (settings.authority, *sorted((settings.farm.home / "node").glob("*/keys"))):
        yield from _files(folder)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(source, target)


def _copy_store(
    source: Store, target: Store, listing: Path, tell: Callable[[str], None]
) -> tuple[int, int, tuple[Sha256, ...]]:
    files = copied = 0
    damaged = []
    with listing.open("w", encoding="ascii") as lines:
        for digest in source.digests():
            if digest not in target:
                taken = _take(source, target, digest)
                if taken is None:  # gc was faster: nothing needs it
                    continue
                if not taken:
                    damaged.append(digest)
                    continue
                copied += 1
            files += 1
            lines.write(f"{digest}\n")
            if files % 1000 == 0:
                tell(f"copying the store: {files} files")
    return files, copied, tuple(damaged)


def _take(source: Store, target: Store, digest: Sha256) -> bool | None:
    """A second name for the same bytes where that can be, else a checked copy; None if it is gone, False if damaged."""
    path = source.path(digest)
    try:
        target.path(digest).parent.mkdir(parents=True, exist_ok=True)
        target.path(digest).hardlink_to(path)
    except FileNotFoundError:
        return None
    except OSError as err:
        if err.errno not in _NO_LINKS:
            raise
        return _checked_copy(path, target, digest)
    return True


def _checked_copy(path: Path, target: Store, digest: Sha256) -> bool | None:
    try:
        target.put(path, expected=digest)
    except FileNotFoundError:
        return None
    except StoreError:
        if _is(path, digest):
            raise
        return False
    return True


def _is(path: Path, digest: Sha256) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
