"""Whose a farm's home is, and whether its front-end answers."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schema.errors import SettingsError, UsageError
from schema.settings import Settings

_WAIT_S = 40.0


@contextmanager
def occupied(settings: Settings, *, say: Callable[[str], None]) -> Iterator[int]:
    """Hold the farm's home for this process and for every child that inherits the yielded file.

    So a run that follows a killed one waits until its last child is gone. Raise UsageError where another run goes on.
    """
    home = settings.farm.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as err:
        raise SettingsError(f"farm.home: {home} cannot be used: {err.strerror}") from err
    try:
        _lock(handle, settings, say)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int, settings: Settings, say: Callable[[str], None]) -> None:
    deadline, told = time.monotonic() + _WAIT_S, False
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            owner = int(os.pread(handle, 20, 0) or b"0")
            if _lives(owner) or time.monotonic() > deadline:
                raise UsageError(
                    f"another `wheelfarm run` (process {owner}) uses {settings.farm.home}",
                    advice="stop it first, or set another farm.home",
                ) from err
        if not told:
            say("Waiting for the last processes of an earlier run to end")
            told = True
        time.sleep(0.2)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def answers(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
