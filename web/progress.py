"""How a build gets on, for the script of its page: bounded, and inert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schema.db import repeats
from web import logs
from web.builds import BuildPage

_TAIL_BYTES = 32 * 1024


def steps(page: BuildPage) -> dict[str, Any]:
    """Where it stands, and the steps of the attempt that is looked at."""
    return {
        "state": page.build.state,
        "fence": page.build.fence,
        "sentence": page.answer.sentence,
        "steps": [
            {"name": step.name, "note": step.note, "seconds": round(step.seconds, 1), "share": step.share}
            | {"running": step.running}
            for step in page.steps
        ],
        "repeat": repeats.to_json(page.repeat) if page.repeat else None,
    }


def log_end(page: BuildPage, folder: Path) -> dict[str, Any]:
    """The end of that attempt's log in *folder*; whole: whether that is all of it."""
    file = logs.path(folder, page.build.id, page.attempt.fence) if page.attempt else None
    tail = logs.tail(file, limit_bytes=_TAIL_BYTES) if file else None
    return {"log": tail.text if tail else "", "whole": tail.whole if tail else True}
