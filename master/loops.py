"""Loops that outlive every fault: each runs one small action again and again in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from schema.errors import FarmError

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 30.0


class Loop:
    """Runs *action* every *pause_s* seconds until stopped, but only while *may_run*; ``wake`` runs it at once.

    A fault is logged and followed by a pause that grows to half a minute: no loop ever ends by itself.
    """

    def __init__(
        self, name: str, action: Callable[[], object], *, pause_s: float, may_run: Callable[[], bool] = lambda: True
    ) -> None:
        self._name, self._action, self._pause_s, self._may_run = name, action, pause_s, may_run
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; may be called once."""
        self._thread.start()

    def wake(self) -> None:
        """Do not wait for the rest of the pause."""
        self._wake.set()

    def stop(self) -> None:
        """Begin no further turn."""
        self._stopping.set()
        self._wake.set()

    def join(self, *, timeout_s: float = 10.0) -> None:
        """Wait for the turn that runs, if the loop was started, *timeout_s* seconds at most."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = self._pause_s
        while not self._stopping.is_set():
            try:
                if self._may_run():
                    self._action()
                pause_s = self._pause_s
            except (FarmError, DBAPIError) as err:
                pause_s = min(max(pause_s, 0.5) * 2, _LONGEST_PAUSE_S)
                log.warning("%s: %s; again in %.0f s", self._name, err, pause_s)
            except Exception:
                pause_s = min(max(pause_s, 0.5) * 2, _LONGEST_PAUSE_S)
                log.exception("%s failed; again in %.0f s", self._name, pause_s)
            self._wake.wait(pause_s)
            self._wake.clear()


class Loops:
    """The loops of one process, by name; none begins a turn unless *may_run*."""

    def __init__(self, *, may_run: Callable[[], bool] = lambda: True) -> None:
        self._loops: dict[str, Loop] = {}
        self._may_run = may_run

    def add(self, name: str, action: Callable[[], object], *, pause_s: float) -> None:
        """Add one that is not started yet."""
        self._loops[name] = Loop(name, action, pause_s=pause_s, may_run=self._may_run)

    def start(self) -> None:
        """Start all of them; may be called once."""
        for loop in self._loops.values():
            loop.start()

    def wake(self, *names: str) -> None:
        """Run those of *names* at once."""
        for name in names:
            self._loops[name].wake()

    def stop(self) -> None:
        """Let each end what it is doing, and wait for that."""
        for loop in self._loops.values():
            loop.stop()
        for loop in self._loops.values():
            loop.join()
