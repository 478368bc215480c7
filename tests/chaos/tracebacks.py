"""What the farm's own processes could not explain: the last lines of the tracebacks in their logs, counted."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

_START = "Traceback (most recent call last):"
_ERROR = re.compile(r"^([A-Za-z_][\w.]*)(: .*)?$")
_DIGITS = re.compile(r"\d+")
_LONGEST = 160


def tracebacks(logs: list[Path]) -> Counter[str]:
    """``master: sqlalchemy.exc.OperationalError: …`` → how often; numbers are left out, so that equals meet."""
    found: Counter[str] = Counter()
    for log in logs:
        inside = False
        for line in log.read_text(errors="replace").splitlines():
            if line.strip() == _START:
                inside = True
            elif inside and _ERROR.match(line):
                found[f"{log.stem}: {_DIGITS.sub('#', line)[:_LONGEST]}"] += 1
                inside = False
    return found
