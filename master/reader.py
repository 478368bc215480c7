"""A process that reads pages of the upstream for the master, which takes the last ones into the database meanwhile.

A first catalogue is hundreds of thousands of pages, and one interpreter does one thing at a time. Requests stay
serial (W-01): whoever asks the reader lends it the upstream for that time. ``python -m master.reader`` is the process;
it ends when its stdin does, so it never outlives the master.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from master.fetching import Due, Seen, fetched
from master.upstream import Upstream
from schema.errors import FarmError
from schema.settings import Settings

# A page's own time limit ends first, by far; a process that was stopped never answers.
_GRACE_S = 60.0

log = logging.getLogger(__name__)


class ReaderError(FarmError):
    """The process ended by itself, or could not be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the process fetched; it comes packed, to be unpacked while the process fetches the next.

    looked: at so many projects; rest_s: for how many seconds the upstream wants a rest
    """

    looked: int
    rest_s: float
    packed: bytes

    def seen(self) -> dict[int, Seen]:
        """What ``fetched`` gave."""
        # It is our own code at the other end; what the upstream wrote comes as plain values.
        seen: dict[int, Seen] = pickle.loads(self.packed)  # noqa: S301
        return seen


class Reader:
    """The master's end; the process begins with the first question. For one thread.

    settings: say where the upstream is
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def ask(self, projects: Sequence[Due]) -> None:
        """Have pages fetched; ``answer`` must follow, or ``close``. Raise ReaderError."""
        try:
            if self._process is None:
                self._process = _started()
                log.info("many pages are due: process %s reads them", self._process.pid)
                _send(self._process.stdin, self._settings)
            _send(self._process.stdin, projects)
        except (OSError, ValueError) as err:
            self.close()
            raise ReaderError(f"the process that reads the upstream's pages does not work: {err}") from err

    def answer(self) -> Batch:
        """What was asked for; raise ReaderError."""
        pipe = self._process.stdout if self._process is not None else None
        assert pipe is not None  # noqa: S101 - for mypy: something was asked, and by a pipe
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        try:
            if not poll.poll(1000 * (self._settings.upstream.timeout_s + _GRACE_S)):
                raise TimeoutError("it does not answer")
            looked, rest_s, packed = pickle.load(pipe)  # noqa: S301 - numbers and bytes, from our own code
        except (OSError, ValueError, EOFError, pickle.UnpicklingError) as err:
            self.close()
            raise ReaderError(f"the process that reads the upstream's pages ended: {err}") from err
        return Batch(looked=looked, rest_s=rest_s, packed=packed)

    def close(self) -> None:
        """End the process, if there is one; the next question begins another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # it has nothing to lose, and may not be able to hear
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not written yet has no reader any more
                if pipe is not None:
                    pipe.close()


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "master.reader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,  # Ctrl-C is for the master, whose end is the end of stdin
    )


def _send(pipe: IO[bytes] | None, what: Any) -> None:  # noqa: ANN401 - settings, projects or what was seen of them
    assert pipe is not None  # noqa: S101 - for mypy: we asked for a pipe
    pickle.dump(what, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def main() -> None:
    """Answer until stdin ends."""
    # Nothing that is printed by accident may get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(EOFError, BrokenPipeError):
        settings = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own master
        with Upstream.from_settings(settings) as upstream:
            while True:
                projects = pickle.load(sys.stdin.buffer)  # noqa: S301
                seen = dict(fetched(upstream, projects))
                packed = pickle.dumps(seen, protocol=pickle.HIGHEST_PROTOCOL)
                _send(answers, (len(seen), upstream.rest_s, packed))


if __name__ == "__main__":
    main()
