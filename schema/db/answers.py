"""What an answer to "why?" is made of, and how its times are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from schema.db.models import Attempt, Build, Node, Wheel
from schema.printable import one_line


class Actor(StrEnum):
    """Who must do something before this changes."""

    NOBODY = "nobody"
    FARM = "farm"
    OPERATOR = "operator"
    UPSTREAM = "upstream"
    REQUESTER = "requester"


Sentence = tuple[str, Actor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why a version is, or is not, there on a platform.

    platform, version: as in the database; "" where the answer is about all of them
    state: a ``BuildState``; or, where there is no build: ``served`` (by another platform's wheel), ``requested``,
        ``unresolved``, ``unrequested``, ``missing``, ``quarantined``, ``upstream-error``
    sentence: on one line, safe to print
    """

    platform: str
    version: str
    state: str
    sentence: str
    actor: Actor
    build_id: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self) | {"actor": self.actor.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the sentences about some builds may need, read once for all of them.

    busy: node → builds that it holds; queued: platform → builds in the queue
    attempts: build → its attempts, the last one last; wheels: of the same projects, removed ones too
    silent_s: a node that was not heard for so many seconds is taken for silent
    """

    now: datetime
    nodes: Sequence[Node] = ()
    busy: Mapping[str, int] = field(default_factory=dict)
    queued: Mapping[str, int] = field(default_factory=dict)
    attempts: Mapping[int, Sequence[Attempt]] = field(default_factory=dict)
    wheels: Sequence[Wheel] = ()
    silent_s: float = 90.0

    def last_attempt(self, build: Build) -> Attempt | None:
        """The newest attempt at *build*."""
        attempts = self.attempts.get(build.id, ())
        return attempts[-1] if attempts else None

    def is_silent(self, node: Node) -> bool:
        """Whether *node* was not heard lately."""
        return node.heard_at is None or self.now - node.heard_at > timedelta(seconds=self.silent_s)


def moment(value: datetime) -> str:
    """A time as the sentences write it: ``2026-11-21 09:18 UTC``."""
    return f"{value:%Y-%m-%d %H:%M} UTC"


def span(seconds: float) -> str:
    """A length of time in its two greatest units: ``3 min 20 s``, ``2 h 5 min``, ``4 d``."""
    whole = max(int(seconds), 0)
    units = (("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60))
    first = next((index for index, (_, count) in enumerate(units) if count), len(units) - 1)
    return " ".join(
        f"{count} {unit}" for unit, count in units[first : first + 2] if count or unit == "s" == units[first][0]
    )


def ended(text: str) -> str:
    """*text* as the end of a sentence: exactly one full stop."""
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def current_step(attempt: Attempt | None) -> str:
    """The name of the step that runs, or ""; what a node says is only shown, so whatever it is not is ignored."""
    steps = attempt.steps if attempt is not None and isinstance(attempt.steps, list) else []
    running = [item for item in steps if isinstance(item, dict) and item.get("seconds") is None]
    return one_line(str(running[-1].get("name", "")), limit=60) if running else ""
