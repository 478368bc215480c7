"""A root file system as one thing: its digest."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from schema.names import Sha256


def tree_digest(root: Path) -> Sha256:
    """A digest of every path below *root* with its type, mode and content."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = Path(folder, name)
            status = path.lstat()
            digest.update(
                f"{path.relative_to(root)}\0{stat.S_IMODE(status.st_mode):o}\0".encode(errors="surrogateescape")
            )
            if stat.S_ISLNK(status.st_mode):
                digest.update(b"l" + os.fsencode(path.readlink()))
            elif stat.S_ISREG(status.st_mode):
                with path.open("rb") as file:
                    digest.update(b"f" + hashlib.file_digest(file, "sha256").digest())
            digest.update(b"\n")
    return Sha256(digest.hexdigest())


def tamed(mode: int, *, is_folder: bool) -> int:
    """What an image's file may keep of its *mode*: its owner reads it, only he writes, nobody becomes another user."""
    return mode & 0o755 | (0o700 if is_folder else 0o400)


def tame(root: Path) -> None:
    """Give every file and folder below *root*, which is trusted, the mode that it may have."""
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            mode = path.lstat().st_mode
            wanted = tamed(stat.S_IMODE(mode), is_folder=stat.S_ISDIR(mode))
            if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) != wanted:
                path.chmod(wanted)
