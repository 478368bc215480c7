"""The content-addressed store: ``ab/abcdef…``; a name in it never means other bytes, because the name is the digest."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from master import crash
from schema.errors import StoreError
from schema.names import Sha256

_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")

PREFIXES = tuple(f"{number:02x}" for number in range(256))  # the store's folders; each holds as much as any other


class Store:
    """Files by digest below *folder*; writing is temp, fsync, rename, fsync of the folder: all or nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: Sha256) -> Path:
        """Where the file of that digest lies, or would lie."""
        return Path(self.name(digest))

    def name(self, digest: Sha256) -> str:
        """The same as a text, for who asks for thousands."""
        return f"{self.folder}/{digest[:2]}/{digest}"

    def __contains__(self, digest: Sha256) -> bool:
        return self.path(digest).is_file()

    def put(self, source: Path, *, expected: Sha256 | None = None) -> Sha256:
        """Copy a file in, hashing what is written; raise StoreError if its bytes are not the *expected* ones."""
        with source.open("rb") as file:
            return self.put_chunks(iter(lambda: file.read(_CHUNK), b""), expected=expected)

    def put_bytes(self, data: bytes) -> Sha256:
        """Store *data*."""
        return self.put_chunks([data])

    def put_chunks(self, chunks: Iterable[bytes], *, expected: Sha256 | None = None) -> Sha256:
        """Store what *chunks* join to; nothing of it is left if that fails."""
        try:
            return self._write(chunks, expected)
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError(
                    f"the store {self.folder} is full", advice="free some space; the farm goes on by itself"
                ) from err
            raise StoreError(f"the store {self.folder} cannot take a file: {err.strerror}") from err

    def _write(self, chunks: Iterable[bytes], expected: Sha256 | None) -> Sha256:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".incoming-")
        temporary = Path(name)
        try:
            digest = hashlib.sha256()
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                os.fchmod(file.fileno(), 0o444)
                file.flush()
                os.fsync(file.fileno())
            crash.point("temporary-written")
            found = Sha256(digest.hexdigest())
            if expected is not None and found != expected:
                raise StoreError(f"the bytes are not the promised ones: sha256 {found}, promised {expected}")
            target = self.path(found)
            target.parent.mkdir(exist_ok=True)
            temporary.replace(target)
            crash.point("file-renamed")
            sync_folder(target.parent)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        return found

    def digests(self) -> Iterator[Sha256]:
        """Every digest in the store, in order."""
        for prefix in PREFIXES:
            yield from self.below(prefix)

    def below(self, prefix: str) -> list[Sha256]:
        """The digests that begin with those two digits, in order."""
        try:
            names = [item.name for item in (self.folder / prefix).iterdir()]
        except FileNotFoundError:
            return []
        except OSError as err:
            raise StoreError(f"the store {self.folder} cannot be read: {err.strerror}") from err
        return [Sha256(name) for name in sorted(names) if _DIGEST.fullmatch(name)]

    def set_aside(self, digest: Sha256) -> bool:
        """Move a file whose bytes are not those of its name to ``damaged/``, for a person to look at."""
        path, aside = self.path(digest), self.folder / "damaged"
        try:
            aside.mkdir(parents=True, exist_ok=True)
            path.replace(aside / digest)
            sync_folder(path.parent)
        except FileNotFoundError:
            return False
        except OSError as err:
            raise StoreError(f"{path}, which is damaged, cannot be moved: {err.strerror}") from err
        return True


def sync_folder(folder: Path) -> None:
    """Make a rename in *folder* survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace *path* by *data*; a reader sees the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same name each time: what a killed process left is gone with the next write.
    temporary = path.with_name(f".new-{path.name}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
            file.flush()
            _date(file.fileno(), path)
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _date(handle: int, replaced: Path) -> None:
    """Let the file differ from the one that it will replace in size, or in the second of its time.

    nginx makes its ETag of no more than these two.
    """
    with suppress(FileNotFoundError):
        here, before = os.fstat(handle), replaced.stat()
        if here.st_size == before.st_size and int(here.st_mtime) <= int(before.st_mtime):
            os.utime(handle, ns=(here.st_atime_ns, before.st_mtime_ns + 10**9))
