"""One process of the farm under test: started, killed, frozen and stopped by its own pid, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SLOWEST_END_S = 15.0
_START_PAUSE_S = 1.0


@dataclass(kw_only=True, eq=False)
class Program:
    """How a process is started, and how often that was needed.

    held: it stays down for now; fell: exit codes of ends that nobody brought about
    """

    name: str
    argv: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    held: bool = False
    starts: int = 0
    fell: list[int] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _wanted_end: bool = False
    _started_at: float = 0.0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tend(self) -> None:
        """Start it if it does not run and should; note an end that came by itself."""
        if self.running:
            return
        if self.process is not None:
            if not self._wanted_end:
                self.fell.append(self.process.returncode)
            self.process = None
        if self.held or time.monotonic() < self._started_at + _START_PAUSE_S:
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.starts += 1
        self._wanted_end, self._started_at = False, time.monotonic()

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it by *number*, by SIGKILL if that takes too long; ``tend`` brings it back."""
        if self.process is None:
            return
        self._wanted_end = True
        self.tell(number)
        self.tell(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_SLOWEST_END_S)
            return
        self.tell(signal.SIGKILL)
        self.process.wait()
