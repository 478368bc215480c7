"""Small files of the rendered site, and pages made of them, kept ready to be sent while those stay as they are."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from web import answer
from web.answer import SECURITY, Body, Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_Mark = tuple[object, ...]

# A file that was looked at so lately is not looked at again: each look lets go of Python's lock, for which the threads
# of a busy process then fight, and that costs more than all else about a page.
TRUSTED_S = 0.05

_ROOM_BYTES = 32 * 2**20
_BESIDE_BYTES = 2048  # about what a leaf takes beside its data


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A file and the headers that it goes out with; unchanged: those of a 304."""

    data: bytes
    etag: str
    headers: Headers
    unchanged: Headers

    def send(self, environ: WSGIEnvironment, start: StartResponse) -> Body:
        """All of it; 304 for who has it already."""
        if answer.has_it(environ, self.etag):
            environ[answer.STATUS] = "304"
            start("304 Not Modified", self.unchanged)
            return []
        start("200 OK", self.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.data]


@dataclass(frozen=True, slots=True)
class _Kept:
    """mark: of the file when it was read; looked_at: when it last had that mark, by the monotonic clock."""

    mark: _Mark
    leaf: Leaf | None
    looked_at: float = 0.0


class Shelf:
    """Reads files below *folder*; at most *room_bytes* of them stay in memory, the longest unused go first."""

    def __init__(self, folder: Path, *, room_bytes: int = _ROOM_BYTES) -> None:
        self.folder = str(folder.absolute())
        self._room_bytes = room_bytes
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._lock = Lock()

    def read(self, name: str, content_type: str, *, encoding: str = "", caching: Sequence[str]) -> Leaf | None:
        """The file *name*, a relative path that the caller has checked; None if there is none.

        One that was replaced less than ``TRUSTED_S`` ago may still come as it was.
        encoding: how its bytes are compressed already; caching: the values of Cache-Control and Vary ("" for none)
        """
        key = name, content_type
        now = time.monotonic()
        found = self._kept.get(key)  # without the lock: one step, and what is kept is never changed in place
        if found and now - found.looked_at < TRUSTED_S:
            return found.leaf
        path = f"{self.folder}/{name}"
        try:
            mark = _mark(os.stat(path))  # noqa: PTH116 - asked for often; a Path costs more than the rest
            if found and found.mark == mark:
                self._keep(key, replace(found, looked_at=now))
                return found.leaf
            with open(path, "rb") as file:  # noqa: PTH123 - as above
                mark, data = _mark(os.fstat(file.fileno())), file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        leaf = _leaf(data, content_type, encoding, caching)
        self._keep(key, _Kept(mark, leaf, now))
        return leaf

    def written_at(self, name: str) -> int:
        """The second since 1970 in which the file *name* was written last; 0 if there is none."""
        mark = _mark_of(f"{self.folder}/{name}")
        return mark[2] // 10**9 if mark else 0

    def has(self, name: str) -> bool:
        """Whether there is a file *name*."""
        return bool(_mark_of(f"{self.folder}/{name}"))

    def made(
        self,
        key: Hashable,
        sources: Sequence[str],
        make: Callable[..., bytes | None],
        content_type: str,
        *,
        encoding: str = "",
        caching: Sequence[str],
    ) -> Leaf | None:
        """What *make* makes of the contents of *sources*, kept for as long as they stay the same.

        sources: names, or absolute paths
        make: given the bytes of each source, None for one that is not there; None: there is no such page
        key: all that decides about the page beside its sources; encoding, caching: as above
        """
        # Looked at before they are read: what changes in between counts as changed the next time.
        paths = [os.path.join(self.folder, name) for name in sources]  # noqa: PTH118 - as above
        marks = tuple(map(_mark_of, paths))
        with self._lock:
            found = self._kept.get(key)
            if found and found.mark == marks:
                self._kept.move_to_end(key)
                return found.leaf
        data = make(*map(_content, paths))
        leaf = None if data is None else _leaf(data, content_type, encoding, caching)
        self._keep(key, _Kept(marks, leaf))
        return leaf

    def _keep(self, key: Hashable, kept: _Kept) -> None:
        if _size(kept.leaf) > self._room_bytes // 4:
            return
        with self._lock:
            if old := self._kept.pop(key, None):
                self._kept_bytes -= _size(old.leaf)
            self._kept[key] = kept
            self._kept_bytes += _size(kept.leaf)
            while self._kept_bytes > self._room_bytes:
                _, gone = self._kept.popitem(last=False)
                self._kept_bytes -= _size(gone.leaf)


def _leaf(data: bytes, content_type: str, encoding: str, caching: Sequence[str]) -> Leaf:
    # One page as text/html and as v1+html has the same bytes; a strong ETag must tell them apart all the same.
    etag = f'"{hashlib.sha256(content_type.encode() + data).hexdigest()[:32]}"'
    control, vary = caching
    unchanged = [("ETag", etag), ("Cache-Control", control), *SECURITY]
    if vary:
        unchanged.append(("Vary", vary))  # I-09: on 304 too
    headers = [("Content-Type", content_type), ("Content-Length", str(len(data))), *unchanged]
    if encoding:
        headers.append(("Content-Encoding", encoding))
    return Leaf(data=data, etag=etag, headers=headers, unchanged=unchanged)


def _size(leaf: Leaf | None) -> int:
    return _BESIDE_BYTES + (len(leaf.data) if leaf else 0)


def _mark(stat: os.stat_result) -> tuple[int, ...]:
    """A rename puts another inode in place; with size and time this tells every change apart."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _mark_of(path: str) -> tuple[int, ...]:
    try:
        return _mark(os.stat(path))  # noqa: PTH116 - as above
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
