"""Small files of the rendered site, kept in memory for as long as they stay the same on disk."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

_ROOM_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A file's bytes and their digest (32 hex digits)."""

    data: bytes
    digest: str


class Shelf:
    """Reads files below *folder*; at most *room_bytes* of them stay in memory, the longest unused go first."""

    def __init__(self, folder: Path, *, room_bytes: int = _ROOM_BYTES) -> None:
        self.folder = folder.absolute()
        self._room_bytes = room_bytes
        self._kept: OrderedDict[str, tuple[tuple[int, ...], Leaf]] = OrderedDict()
        self._kept_bytes = 0
        self._lock = Lock()

    def read(self, name: str) -> Leaf | None:
        """The file *name*, a relative path that the caller has checked; None if there is none."""
        path = self.folder / name
        try:
            mark = _mark(path.stat())
            with self._lock:
                found = self._kept.get(name)
                if found and found[0] == mark:
                    self._kept.move_to_end(name)
                    return found[1]
            with path.open("rb") as file:
                mark, data = _mark(os.fstat(file.fileno())), file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        leaf = Leaf(data=data, digest=hashlib.sha256(data).hexdigest()[:32])
        self._keep(name, mark, leaf)
        return leaf

    def _keep(self, name: str, mark: tuple[int, ...], leaf: Leaf) -> None:
        if len(leaf.data) > self._room_bytes // 4:
            return
        with self._lock:
            if old := self._kept.pop(name, None):
                self._kept_bytes -= len(old[1].data)
            self._kept[name] = (mark, leaf)
            self._kept_bytes += len(leaf.data)
            while self._kept_bytes > self._room_bytes:
                _, (_, gone) = self._kept.popitem(last=False)
                self._kept_bytes -= len(gone.data)


def _mark(stat: os.stat_result) -> tuple[int, ...]:
    """A rename puts another inode in place; with size and time this tells every change apart."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
