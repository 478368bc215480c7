"""The steps of one attempt: what it does now, and how long the earlier ones took."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from builder.log import Log
from schema.jobs import Step

_NOTE_LIMIT = 500


class Steps:
    """Tells the log, and *on_step* with all steps so far, at each change."""

    def __init__(self, log: Log, on_step: Callable[[tuple[Step, ...]], None]) -> None:
        self._log = log
        self._on_step = on_step
        self._steps: list[Step] = []

    @property
    def all(self) -> tuple[Step, ...]:
        """All steps so far."""
        return tuple(self._steps)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step; its end is noted however it ends."""
        started = time.monotonic()
        self._log.step(name)
        self._steps.append(Step(name=name, started_at=datetime.now(UTC)))
        self._tell()
        try:
            yield
        finally:
            self._change(seconds=round(time.monotonic() - started, 3))

    def note(self, text: str) -> None:
        """What is worth knowing about the present step, in a few words."""
        self._log.step(text)
        self._change(note=text[:_NOTE_LIMIT])

    def _change(self, *, seconds: float | None = None, note: str | None = None) -> None:
        step = self._steps[-1]
        self._steps[-1] = dataclasses.replace(
            step, seconds=step.seconds if seconds is None else seconds, note=step.note if note is None else note
        )
        self._tell()

    def _tell(self) -> None:
        self._on_step(self.all)
