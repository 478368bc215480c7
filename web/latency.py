"""How fast the index answers: counted by each process for itself, and told for all of them.

A process counts in a file of its own, which it holds locked and has in its memory: counting is an addition there, with
no lock and no system call. The file outlives its process, and the next process goes on in it, so the figures only
rise, and there are never more files than processes at once.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import Final, Literal, get_args

from prometheus_client.core import HistogramMetricFamily

log = logging.getLogger(__name__)

BOUNDS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


# Of answers: metadata stands for provenance, too; a merged page may have to wait for the upstream. Plain texts, since
# an enumeration's member takes longer to look up than all the rest of the counting.
Kind = Literal["page", "merged", "304", "file", "metadata", "missing"]

# For each kind so many attempts in each group, the last without an upper end, and the sum of their seconds.
_ROW: Final = len(BOUNDS_S) + 2
_PLACES: Final = {kind: number * _ROW for number, kind in enumerate(get_args(Kind))}
_FORMAT: Final = 1.0  # changes with the meaning of the numbers; it stands first
_NUMBERS: Final = Struct(f"={1 + _ROW * len(get_args(Kind))}d")
_MOST_FILES: Final = 256


class Latency:
    """The counts of this process, in *folder*; nothing is opened before the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: memoryview[float] | None = None
        self._lock = Lock()

    def observe(self, kind: Kind, seconds: float) -> None:
        """An answer took so long. No lock: where two threads met in one addition, one count would be lost."""
        counts = self._counts
        if counts is None:
            counts = self._opened()
        place = 1 + _PLACES[kind]
        counts[place + bisect_left(BOUNDS_S, seconds)] += 1.0
        counts[place + _ROW - 1] += seconds

    def family(self) -> HistogramMetricFamily:
        """The sums of all processes, those that have ended included."""
        sums = [0.0] * (1 + _ROW * len(get_args(Kind)))
        for numbers in self._all():
            sums = [one + other for one, other in zip(sums, numbers, strict=True)]
        made = HistogramMetricFamily(
            "wheelfarm_index_duration_seconds", "How long the index took until an answer could begin.", labels=["kind"]
        )
        ends = [*map(str, BOUNDS_S), "+Inf"]
        for kind, place in _PLACES.items():
            *groups, seconds = sums[1 + place : 1 + place + _ROW]
            if any(groups):
                made.add_metric([kind], list(zip(ends, accumulate(groups), strict=True)), seconds)
        return made

    def _all(self) -> Iterator[Sequence[float]]:
        with suppress(FileNotFoundError, NotADirectoryError):
            for number in range(_MOST_FILES):
                data = self._file(number).read_bytes()
                if _is_ours(data):
                    yield _NUMBERS.unpack(data)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.counts"

    def _opened(self) -> memoryview[float]:
        with self._lock:
            if self._counts is None:
                try:
                    memory = self._mapped()
                except OSError as err:
                    log.warning("%s: how fast this process answers is not told: %s", self._folder, err)
                    memory = mmap.mmap(-1, _NUMBERS.size)
                self._counts = memoryview(memory).cast("d")
                self._counts[0] = _FORMAT
            return self._counts

    def _mapped(self) -> mmap.mmap:
        """The first file that no other process has: its lock lasts as long as the mapping, so as this process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for number in range(_MOST_FILES):
            with self._file(number).open("a+b") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if not _is_ours(os.pread(file.fileno(), _NUMBERS.size + 1, 0)):
                    file.truncate(0)
                    file.truncate(_NUMBERS.size)
                return mmap.mmap(file.fileno(), _NUMBERS.size)
        raise OSError(f"more than {_MOST_FILES} processes")


def _is_ours(data: bytes) -> bool:
    """Whether a file's bytes are counts as this release has them."""
    return len(data) == _NUMBERS.size and _NUMBERS.unpack(data)[0] == _FORMAT
