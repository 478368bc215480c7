"""One maker at a time, and nothing half made."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path

from builder import process
from schema.errors import LimitExceededError
from schema.states import FailureClass

# A lock that another process holds is looked at again and again, so that the wait can be cancelled.
_LOOK_AGAIN_S = 0.2


@contextlib.contextmanager
def locked(folder: Path, name: str, *, cancelled: threading.Event | None = None) -> Iterator[None]:
    """Only one process at a time makes what *name* stands for; others wait and then find it.

    Raise LimitExceededError (CANCELLED) if *cancelled* is set while it waits.
    """
    with (folder / f".{name}.lock").open("w") as file:
        while cancelled is not None:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if cancelled.wait(_LOOK_AGAIN_S):
                raise LimitExceededError("cancelled", failure_class=FailureClass.CANCELLED)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def unfinished(folder: Path, name: str) -> Iterator[Path]:
    """A folder to make something in; what is not renamed away by the end is removed, also after a crash."""
    making = folder / f".making-{name}"
    process.remove(making)
    making.mkdir()
    try:
        yield making
    finally:
        process.remove(making)
