"""The outbox: where a node leaves the results of finished attempts until the master has taken them.

One folder an attempt, ``<build>-<fence>/``; it appears at once and whole, by a rename.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from schema.errors import WireError
from schema.jobs import Lease

RESULT = "result.json"
ATTESTATION = "attestation.json"
LOG = "build.log"

# Nobody who made a file brings these about by it.
_OF_THE_MACHINE = {errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def entry(outbox: Path, lease: Lease) -> Path:
    """The folder of one attempt."""
    return outbox / str(lease)


def entries(outbox: Path) -> list[Lease]:
    """The attempts whose results wait; anything else in the folder is left alone."""
    if not outbox.is_dir():
        return []
    found = (_lease(path.name) for path in outbox.iterdir() if path.is_dir())
    return sorted(lease for lease in found if lease is not None)


@contextmanager
def open_plain(path: Path, *, limit_bytes: int) -> Iterator[BinaryIO]:
    """Open a file that somebody else made: a plain file, no link, one name, at most *limit_bytes*; raise WireError.

    Raise OSError where it is the machine that cannot.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        if err.errno in _OF_THE_MACHINE:
            raise
        raise WireError(f"{path.name}: cannot be taken: {err.strerror}") from err
    status = os.fstat(handle)
    fault = ""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        fault = "not a plain file with one name"
    elif status.st_size > limit_bytes:
        fault = f"{status.st_size} bytes; at most {limit_bytes} are taken"
    if fault:
        os.close(handle)
        raise WireError(f"{path.name}: {fault}")
    with os.fdopen(handle, "rb") as file:
        yield file


def _lease(name: str) -> Lease | None:
    build, _, fence = name.partition("-")
    if build.isascii() and build.isdigit() and fence.isascii() and fence.isdigit():
        return Lease(build_id=int(build), fence=int(fence))
    return None
