"""Import a finished wheel in a clean room: the base image, nothing installed, no network (B-15)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builder.images import Image
from builder.plain import plain
from builder.room import Answer, Room
from builder.sandbox import Bind
from schema.errors import BuildFailedError
from schema.states import FailureClass

_AT_MOST_S = 900.0
_WRONG = ("broken", "crashed")


def check_import(room: Room, image: Image, wheel: Path) -> str:
    """Return one line about what was imported; raise BuildFailedError (IMPORT) if the wheel itself is at fault.

    image: the plain one, without the packages that the build was given: what a user's machine may have
    A module that needs another project is fine: dependencies are not installed here.
    """
    folder = room.folder.make("clean-room")
    inside = f"/wheel/{wheel.name}"
    answer = room.run(
        "imports",
        {"wheel": inside, "folder": "/build/env"},
        image=image,
        binds=[Bind(source=wheel, target=inside), Bind(source=folder, target="/build", writable=True)],
        environment={"HOME": "/build"},
        at_most_s=_AT_MOST_S,
    )
    return judge(answer)


def judge(answer: Answer) -> str:
    """Turn the verdicts on the single modules into one; raise as ``check_import`` does."""
    verdicts = [_read(item) for item in answer.data.get("verdicts", []) if isinstance(item, dict)]
    wrong = [(module, reason) for module, outcome, reason in verdicts if outcome in _WRONG]
    if wrong:
        module, reason = wrong[0]
        raise BuildFailedError(
            f"the wheel does not import in a clean environment: {module}: {reason}",
            failure_class=FailureClass.IMPORT,
            evidence=reason,
        )
    notes = [f"{module} {outcome} {reason}" for module, outcome, reason in verdicts if outcome != "imported"]
    imported = sum(outcome == "imported" for _, outcome, _ in verdicts)
    return f"{imported} of {len(verdicts)} modules imported" + "".join(f"; {note}" for note in notes)


def _read(item: dict[str, Any]) -> tuple[str, str, str]:
    module, outcome, reason = (plain(str(item.get(key, ""))) for key in ("module", "outcome", "reason"))
    return module, outcome, reason
