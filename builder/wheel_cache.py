"""Fetched build requirements, by digest: one cache for every slot of a node, which no sandbox ever sees (T19).

``<folder>/<ab>/<sha256>`` are the files; ``<folder>/resolved/<key>.json`` is what a set of requirements resolved to.
Only the node's own code writes here, each file under another name first. Whatever is read is checked: a file by its
digest, a note by its form; what is not as it was left counts as not there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from schema.errors import LimitExceededError
from schema.names import Sha256, sha256
from schema.states import FailureClass

log = logging.getLogger(__name__)

_CHUNK_BYTES = 2**20
_LOOK_AGAIN_S = 0.1
_LEFTOVER_S = 6 * 3600.0
_NOTE_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a set of requirements resolved to.

    wheels: (file name, digest) of each; age_s: how long ago that was
    times_checked: whether the index told when each was uploaded, so that a later one could be left out
    """

    wheels: tuple[tuple[str, Sha256], ...]
    times_checked: bool
    age_s: float = 0.0


class WheelCache:
    """The cache in *folder*, held to *limit_bytes* by removing what was not used for longest."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder, self._limit_bytes = folder, limit_bytes

    def add(self, source: BinaryIO) -> Sha256:
        """Keep a file; return its digest."""
        self._make()
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".incoming-")
        try:
            with os.fdopen(handle, "wb") as target:
                digest = _copy(source, target)
            path = self._path(digest)
            path.parent.mkdir(exist_ok=True)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return digest

    def give(self, digest: Sha256, target: Path) -> bool:
        """Copy the file to *target*; False if it is not there, or was and has other bytes now (then it is removed)."""
        path = self._path(digest)
        try:
            with path.open("rb") as source, target.open("xb") as copy:
                found = _copy(source, copy)
        except FileNotFoundError:
            return False
        if found != digest:
            log.warning("the cached build requirement %s has other bytes now; it is fetched again", digest)
            path.unlink(missing_ok=True)
            target.unlink()
            return False
        target.chmod(0o644)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
        return True

    def remember(self, key: str, resolved: Resolved) -> None:
        """Keep what the requirements of that *key* resolved to."""
        self._make()
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".incoming-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"wheels": resolved.wheels, "times_checked": resolved.times_checked}, file)
        Path(name).replace(self._note(key))

    def recall(self, key: str, *, within_s: float) -> Resolved | None:
        """What the requirements of that *key* resolved to, at most *within_s* seconds ago."""
        try:
            with self._note(key).open("rb") as file:
                age_s = time.time() - os.fstat(file.fileno()).st_mtime
                data = json.loads(file.read(_NOTE_BYTES))
            wheels = tuple((_wheel_name(name), sha256(digest)) for name, digest in data["wheels"])
            times_checked = bool(data["times_checked"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as err:
            log.warning("a note in the cache of build requirements cannot be read: %s", err)
            return None
        if not 0 <= age_s <= within_s:
            return None
        return Resolved(wheels=wheels, times_checked=times_checked, age_s=age_s)

    @contextlib.contextmanager
    def turn(self, key: str, *, deadline: float, cancelled: threading.Event) -> Iterator[None]:
        """Hold the turn of *key*: whoever wants the same at the same time waits, and then finds it in the cache.

        Raise LimitExceededError past *deadline* (``time.monotonic()``) or once *cancelled*.
        """
        self._make()
        # A bounded number of files; two keys that share one wait for each other, which does no harm.
        path = self.folder / "locks" / key[:3]
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(descriptor):
                if cancelled.wait(_LOOK_AGAIN_S):
                    raise LimitExceededError("cancelled", failure_class=FailureClass.CANCELLED)
                if time.monotonic() > deadline:
                    raise LimitExceededError("the build requirements took too long", failure_class=FailureClass.TIMEOUT)
            yield
        finally:
            os.close(descriptor)

    def trim(self, *, notes_s: float) -> None:
        """Remove what is over the limit, notes older than *notes_s*, and what killed nodes left half-written."""
        now = time.time()
        for path, status in _files(self.folder / "resolved"):
            if now - status.st_mtime > notes_s:
                path.unlink(missing_ok=True)
        for path, status in _files(self.folder):
            if now - status.st_mtime > _LEFTOVER_S:
                path.unlink(missing_ok=True)
        kept = [item for folder in self.folder.glob("[0-9a-f][0-9a-f]") for item in _files(folder)]
        over = sum(status.st_size for _, status in kept) - self._limit_bytes
        for path, status in sorted(kept, key=lambda item: item[1].st_mtime):
            if over <= 0:
                return
            path.unlink(missing_ok=True)
            over -= status.st_size

    def _make(self) -> None:
        for folder in (self.folder, self.folder / "resolved", self.folder / "locks"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, digest: Sha256) -> Path:
        return self.folder / digest[:2] / digest

    def _note(self, key: str) -> Path:
        return self.folder / "resolved" / f"{key}.json"


def key_of(*parts: Sequence[str] | str) -> str:
    """One key for everything that a resolution depends on; it tells nothing of the parts, which may hold secrets."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _copy(source: BinaryIO, target: BinaryIO) -> Sha256:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return Sha256(digest.hexdigest())


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wheel_name(name: str) -> str:
    """The name, which becomes that of a file: raise ValueError unless it is a wheel's."""
    try:
        parse_wheel_filename(name)
    except InvalidWheelFilename as err:
        raise ValueError(str(err)) from err
    if "/" in name or "\0" in name:
        raise ValueError(f"not a plain file name: {name!r}")
    return name


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.glob("*") if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found.append((path, path.stat()))
    return found
