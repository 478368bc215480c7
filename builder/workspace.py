"""The folders that builds write to: one for each job, gone after it, also when the node was killed in between.

Root gives each job a file system of its own (a sparse image on a loop device), so that the kernel holds it to its size
and to its number of files. A plain user's jobs get a folder, and ``builder.limits.disk`` counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from builder import process
from builder.limits import cgroup
from schema.errors import NodeError

_IMAGE, _LOCK = ".img", ".lock"
# No journal and no barriers: the file system never outlives its job. No reserve for root either.
_MKFS = ("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0")
_MOUNT = ("mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime,nobarrier")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFolder:
    """The folder of one job; make what the build may write to below it.

    uid: who builds; None where that is ourselves
    limited: whether the folder is a file system of its own, of the size that was asked for
    """

    path: Path
    uid: int | None
    limited: bool

    def make(self, name: str) -> Path:
        """A new empty folder that the build may write to, and nobody else may enter (but root)."""
        folder = self.path / name
        folder.mkdir(mode=0o700)
        if self.uid is not None:
            os.chown(folder, self.uid, self.uid)
        return folder


@contextlib.contextmanager
def open_job(workspace: Path, name: str, *, uid: int | None, disk_bytes: int) -> Iterator[JobFolder]:
    """A fresh folder ``<workspace>/<name>``, removed at the end with all that is in it.

    Raise NodeError if there is one of that name, or it cannot be made.
    """
    with _locked(workspace, name) as lock:
        path = workspace / name
        remove(path)
        try:
            yield _made(path, uid, disk_bytes)
        finally:
            remove(path)
            lock.unlink()


def remove(path: Path) -> None:
    """Remove a job's folder, its file system and its image, whatever the build left in it."""
    if os.path.ismount(path):
        try:
            process.run(["umount", str(path)])
        except process.ProcessError:
            process.run(["umount", "--lazy", str(path)])
    path.with_name(path.name + _IMAGE).unlink(missing_ok=True)
    process.remove(path)


def clean(workspace: Path) -> int:
    """End and remove what killed nodes left: processes, then folders; return how many jobs had a folder in *workspace*.

    Jobs of living nodes are not touched.
    """
    cgroup.clean()
    found = 0
    for lock in sorted(workspace.glob(f"*{_LOCK}")):
        name = lock.name.removesuffix(_LOCK)
        with contextlib.suppress(NodeError), _locked(workspace, name):
            remove(workspace / name)
            lock.unlink()
            found += 1
    return found


def own_file_system(folder: Path) -> Path | None:
    """The mount point of the job's own file system that *folder* lies in; None if it has none."""
    place = folder.resolve()
    while not os.path.ismount(place):
        place = place.parent
    return place if place.name and place.with_name(place.name + _IMAGE).exists() else None


@lru_cache(maxsize=1)
def loop_devices_work() -> bool:
    """Whether a file system in a file can be mounted here; tried once."""
    if os.geteuid() != 0:
        return False
    folder = Path(tempfile.mkdtemp(prefix="wheelfarm-"))
    try:
        _mount(folder, 4 * 2**20)
    except NodeError:
        return False
    else:
        return True
    finally:
        remove(folder)


def _made(path: Path, uid: int | None, disk_bytes: int) -> JobFolder:
    limited = loop_devices_work()
    try:
        path.mkdir()
        if limited:
            _mount(path, disk_bytes)
        # Others may pass through to what they own, and see nothing.
        path.chmod(0o711)
    except OSError as err:
        raise NodeError(f"no folder for the job: {err}") from err
    return JobFolder(path=path, uid=uid, limited=limited)


def _mount(path: Path, size_bytes: int) -> None:
    image = path.with_name(path.name + _IMAGE)
    descriptor = os.open(image, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    os.truncate(descriptor, size_bytes)
    os.close(descriptor)
    process.run([*_MKFS, str(image)])
    process.run([*_MOUNT, str(image), str(path)])


@contextlib.contextmanager
def _locked(workspace: Path, name: str) -> Iterator[Path]:
    """Hold the job's lock file; the kernel lets it go when we die. While the file is there, so may the folder be."""
    workspace.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = workspace / f"{name}{_LOCK}"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _has_lock(descriptor, path):
            raise NodeError(f"another process works in {workspace / name}")
        yield path
    finally:
        os.close(descriptor)


def _has_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before us may have removed it meanwhile.
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
