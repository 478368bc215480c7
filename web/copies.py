"""Copies of the upstream's pages, on disk: asked for when a client asks for them, and served while it is away.

Whatever clients and the upstream do, bounded: one request for a page at a time (over all processes of the front-end),
one a minute while somebody asks, a few at once, a limit on what is kept; and never so many waiting that the index does.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

from packaging.utils import NormalizedName

from schema.errors import SettingsError, UnknownProjectError, UpstreamError
from schema.settings import Settings
from schema.simple import fetch
from schema.simple.fetch import NotModified, Origin
from schema.transport import Transport
from web import merging

log = logging.getLogger(__name__)

FRESH_S = 60.0
REST_S = 15.0

_MOST_PAGES, _MOST_BYTES = 10_000, 256 * 2**20
_SWEEP_BYTES = 32 * 2**20  # so much may be written before the next look at what there is
_BESIDE_BYTES = 4096  # of a small file on most disks
_TIMEOUT_S = 10.0  # of one page; an installer waits for it
_AT_ONCE = 4
_WAITING = 32  # of the threads that answer; all others go on with the index
_UNKNOWN = 10_000
_LOCKS = 256


class Copies:
    """The pages of the settings' upstream, in *folder*; nothing is opened or asked before the first is wanted.

    fresh_s: so long a page is served without asking again; rest_s: so long the upstream is left alone when it fails
    """

    def __init__(self, settings: Settings, folder: Path, *, fresh_s: float = FRESH_S, rest_s: float = REST_S) -> None:
        self.folder = folder
        self._settings, self._fresh_s, self._rest_s = settings, fresh_s, rest_s
        self._origin: Origin | None = None
        self._lock = threading.Lock()
        self._waiting = threading.Semaphore(_WAITING)
        self._idle: queue.LifoQueue[Transport | None] = queue.LifoQueue()
        for _ in range(_AT_ONCE):
            self._idle.put(None)
        self._rest_until = 0.0
        self._failing: set[str] = set()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._unswept_bytes = _SWEEP_BYTES

    def page(self, name: NormalizedName) -> Path:
        """A copy of the page of *name*, as fresh as can be had.

        Raise UnknownProjectError where the upstream has no such project; UpstreamError where it does not answer, or as
        no index does, and there is no copy; SettingsError where the settings lead to no index that everybody may read.
        """
        path = self.folder / f"{name}.json"
        if self._is_fresh(path):
            return path
        if self._unknown.get(name, 0.0) > time.monotonic():
            raise UnknownProjectError(name)
        has_copy = path.exists()
        if not self._waiting.acquire(blocking=False):
            return _copy_or_raise(path, UpstreamError("too many wait for pages of the upstream"))
        try:
            with self._turn(name, is_patient=not has_copy) as is_ours:
                if not is_ours or self._is_fresh(path):
                    return path
                return self._asked(name, path)
        except OSError as err:  # the upstream's own are UpstreamErrors by now
            log.warning("%s: pages of the upstream cannot be kept: %s", self.folder, err)
            raise UpstreamError("pages of the upstream cannot be kept here") from err
        finally:
            self._waiting.release()

    def close(self) -> None:
        """End every connection."""
        for _ in range(_AT_ONCE):
            if transport := self._idle.get():
                transport.close()
            self._idle.put(None)

    def _asked(self, name: NormalizedName, path: Path) -> Path:
        left_s = self._rest_until - time.monotonic()
        if left_s > 0:
            return _copy_or_raise(path, UpstreamError(f"the upstream is left alone for {left_s:.0f} s"))
        try:
            self._refresh(name, path)
        except UnknownProjectError:
            path.unlink(missing_ok=True)
            self._remember_unknown(name)
            raise
        except UpstreamError as err:
            self._failed(name, err)
            if path.exists():
                os.utime(path)  # the next look comes when it would have come after a good one
            return _copy_or_raise(path, err)
        self._failing.clear()
        return path

    def _refresh(self, name: NormalizedName, path: Path) -> None:
        copy = merging.read_copy(path.read_bytes() if path.exists() else None) or {}
        etag, last_modified = copy.get("etag", ""), copy.get("last_modified", "")
        with self._lent() as transport:
            answer = fetch.ask(transport, name, etag=etag, last_modified=last_modified)
        if fetch.wants_rest(answer):
            self._rest_until = time.monotonic() + (fetch.retry_after_s(answer.headers) or self._rest_s)
        found = fetch.understood(name, answer, conditional=bool(etag or last_modified))
        if isinstance(found, NotModified):
            os.utime(path)
        else:
            self._write(path, merging.copy_of(found))

    def _failed(self, name: str, err: UpstreamError) -> None:
        """Two pages in a row that fail are more than one page's trouble: then none is asked for a while."""
        with self._lock:
            self._failing.add(name)
            if len(self._failing) == 1:
                log.info("the upstream's page of %s: %s", name, err)
                return
            self._failing.clear()
            self._rest_until = max(self._rest_until, time.monotonic() + self._rest_s)
        log.warning("the upstream is not asked for %.0f s, copies of its pages are served: %s", self._rest_s, err)

    def _remember_unknown(self, name: str) -> None:
        with self._lock:
            self._unknown[name] = time.monotonic() + self._fresh_s
            self._unknown.move_to_end(name)
            if len(self._unknown) > _UNKNOWN:
                self._unknown.popitem(last=False)

    def _is_fresh(self, path: Path) -> bool:
        """A copy's time is when the upstream was last asked about it."""
        try:
            return 0 <= time.time() - path.stat().st_mtime < self._fresh_s
        except (FileNotFoundError, NotADirectoryError):
            return False

    @contextmanager
    def _turn(self, name: str, *, is_patient: bool) -> Iterator[bool]:
        """Whether it is our turn to ask for *name*; who is patient waits until it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".lock-{crc32(name.encode()) % _LOCKS}").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if is_patient else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def _lent(self) -> Iterator[Transport]:
        """One of a few connections."""
        try:
            transport = self._idle.get(timeout=_TIMEOUT_S)
        except queue.Empty:
            raise UpstreamError("too many pages of the upstream are asked for at once") from None
        try:
            transport = transport or self._way().transport(timeout_s=_TIMEOUT_S)
            yield transport
        finally:
            self._idle.put(transport)

    def _way(self) -> Origin:
        with self._lock:
            if self._origin is None:
                self._origin = Origin.from_settings(self._settings)
            if self._origin.has_login:
                raise SettingsError("the upstream asks for a password: what it lists is not for everybody")
            return self._origin

    def _write(self, path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        new = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            new.replace(path)
        finally:  # where the disk is full, nothing of it stays
            new.unlink(missing_ok=True)
        with self._lock:
            self._unswept_bytes += len(data) + _BESIDE_BYTES
            if self._unswept_bytes < _SWEEP_BYTES:
                return
            self._unswept_bytes = 0
        self.sweep()

    def sweep(self, *, most_pages: int = _MOST_PAGES, most_bytes: int = _MOST_BYTES) -> None:
        """Remove the copies that were not asked for the longest, until so many are left."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(".lock-"):
                    continue
                with suppress(FileNotFoundError):  # another process sweeps as well
                    stat = entry.stat()
                    found.append((stat.st_mtime, stat.st_size, entry.path))
        kept_bytes = 0
        for number, (_, size, path) in enumerate(sorted(found, reverse=True)):
            kept_bytes += size
            if number >= most_pages or kept_bytes > most_bytes:
                Path(path).unlink(missing_ok=True)


def _copy_or_raise(path: Path, err: UpstreamError) -> Path:
    if path.exists():
        return path
    raise err
