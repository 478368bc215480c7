"""Named places at which a test has this very process killed, to prove that a crash there loses nothing.

``WHEELFARM_CRASH_AT=published`` kills it when it first comes to that place, ``published:3`` at the third time. It is
read once; where it is not set, passing a place does nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

POINTS = (
    # a request, a lease, a message
    "resolved",
    "ripened",
    "leased",
    "lease-committed",
    "job-sent",
    "heartbeat-committed",
    "swept",
    # taking a result
    "claimed",
    "log-kept",
    "fetched",
    "verified",
    "checked",
    # into the store, and public
    "temporary-written",
    "file-renamed",
    "wheel-stored",
    "provenance-stored",
    "wheel-row-added",
    "ended-needs-told",
    "published",
    "forget-sent",
    # onto the pages
    "files-linked",
    "half-a-page-written",
    "page-written",
    "marks-removed",
)


def _killer(wanted: str) -> Callable[[str], None]:
    name, _, times = wanted.partition(":")
    left = int(times or "1")

    def pass_by(at: str) -> None:
        nonlocal left
        if at == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return pass_by


def _ignore(_: str) -> None:
    pass


point: Callable[[str], None] = _killer(_WANTED) if (_WANTED := os.environ.get("WHEELFARM_CRASH_AT", "")) else _ignore
