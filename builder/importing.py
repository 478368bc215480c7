"""Import a finished wheel in a clean room: the image's bare root, nothing installed, no network (B-15)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.images import Image
from builder.plain import plain
from builder.requirements import Wheelhouse
from builder.room import Answer, Room
from builder.sandbox import Bind
from schema.errors import BuildFailedError
from schema.missing import Missing, MissingKind
from schema.states import FailureClass

_AT_MOST_S = 900.0
_WRONG = ("broken", "crashed")
_MISSING = re.compile(r"(lib[\w.+-]{1,100}): cannot open shared object")


def check_import(
    room: Room,
    image: Image,
    wheel: Path,
    *,
    shipped: Mapping[str, str],
    test: str | None = None,
    others: Wheelhouse | None = None,
) -> str:
    """Return one line about what was imported; raise BuildFailedError (IMPORT) if the wheel itself is at fault.

    image: the bare one, without compilers and the packages that the build was given: what a user's machine may have
    shipped: shared library → the Debian package that ships it, to tell where one that is missing comes from
    test: Python that must end well after that
    others: the wheels of what it needs, installed beside it; a module that still needs another project is fine, and
        what another project does wrong is told, but no fault of this one
    """
    folder = room.folder.make(f"clean-room-{image.name}")
    inside = f"/wheel/{wheel.name}"
    answer = room.run(
        "imports",
        {"wheel": inside, "others": others.inside if others else [], "folder": "/build/env", "test": test},
        image=image,
        binds=[
            Bind(source=wheel, target=inside),
            Bind(source=folder, target="/build", writable=True),
            *([others.bind] if others else []),
        ],
        environment={"HOME": "/build"},
        at_most_s=_AT_MOST_S,
    )
    imported = judge(answer, shipped=shipped)
    if others and others.materials:
        imported += f"; with {', '.join(sorted(item.name for item in others.materials))}"
    return imported if test is None else f"{imported}; {_tested(answer, shipped)}"


def _tested(answer: Answer, shipped: Mapping[str, str]) -> str:
    """That the recipe's test passed; raise BuildFailedError (IMPORT) if it did not."""
    reason = plain(str(answer.data.get("test", "the test was not run")))
    if reason:
        raise BuildFailedError(
            f"the recipe's test fails in a clean environment: {told(reason, shipped)}",
            failure_class=FailureClass.IMPORT,
            evidence=told(reason, shipped),
            lacks=_lacks(reason),
        )
    return "the recipe's test passed"


def judge(answer: Answer, *, shipped: Mapping[str, str] | None = None) -> str:
    """Turn the verdicts on the single modules into one; raise as ``check_import`` does, and with what it has."""
    verdicts = [_read(item) for item in answer.data.get("verdicts", []) if isinstance(item, dict)]
    wrong = [(module, reason) for module, outcome, reason in verdicts if outcome in _WRONG]
    if wrong:
        module, reason = wrong[0]
        raise BuildFailedError(
            f"the wheel does not import in a clean environment: {module}: {told(reason, shipped or {})}",
            failure_class=FailureClass.IMPORT,
            evidence=told(reason, shipped or {}),
            lacks=_lacks(reason),
        )
    notes = [f"{module} {outcome} {reason}" for module, outcome, reason in verdicts if outcome != "imported"]
    imported = sum(outcome == "imported" for _, outcome, _ in verdicts)
    return f"{imported} of {len(verdicts)} modules imported" + "".join(f"; {note}" for note in notes)


def told(reason: str, shipped: Mapping[str, str]) -> str:
    """*reason*, and the Debian package of the shared library that it says is missing, where that is known."""
    found = _MISSING.search(reason)
    package = shipped.get(found[1]) if found else None
    return f"{reason} (Debian package {package})" if package else reason


def _lacks(reason: str) -> tuple[Missing, ...]:
    """The library whose shared object is missing, as the linker is told of it."""
    found = _MISSING.search(reason)
    stem = found[1].partition(".so")[0].removeprefix("lib") if found else ""
    item = Missing.found(MissingKind.LIBRARY, stem)
    return () if item is None else (item,)


def _read(item: dict[str, Any]) -> tuple[str, str, str]:
    module, outcome, reason = (plain(str(item.get(key, ""))) for key in ("module", "outcome", "reason"))
    return module, outcome, reason
