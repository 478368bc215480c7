"""What an answer to "why?" is made of, and how its times are written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schema.db.models import Attempt
from schema.db.why.reasons import Actor, Reason
from schema.printable import one_line

_LIMIT = 1000


class Said(NamedTuple):
    """A sentence before it is made safe to print, with what programs read of it.

    until: when it ends by itself, where that is known
    """

    reason: Reason
    actor: Actor
    text: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why a version is, or is not, there on a platform.

    platform, version: as in the database; "" where the answer is about all of them
    state: a ``BuildState``; or, where there is no build: ``served`` (by another platform's wheel), ``requested``,
        ``unresolved``, ``unrequested``, ``missing``, ``quarantined``, ``upstream-error``, ``archived``, ``deprecated``
    sentence: on one line, safe to print
    since: when it became so; until: when it ends by itself; None where nobody knows
    """

    platform: str
    version: str
    state: str
    reason: Reason
    sentence: str
    actor: Actor
    since: datetime | None = None
    until: datetime | None = None
    build_id: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``; times as ISO 8601 in UTC."""
        return asdict(self) | {
            "reason": self.reason.value,
            "actor": self.actor.value,
            "since": iso(self.since),
            "until": iso(self.until),
        }


def answered(
    said: Said,
    *,
    state: str,
    platform: str,
    version: str = "",
    since: datetime | None = None,
    build_id: int | None = None,
) -> Answer:
    """*said* as an answer: on one line, and inert."""
    return Answer(
        platform=platform,
        version=version,
        state=state,
        reason=said.reason,
        sentence=one_line(said.text, limit=_LIMIT),
        actor=said.actor,
        since=since,
        until=said.until,
        build_id=build_id,
    )


def iso(value: datetime | None) -> str | None:
    """A time for programs: ISO 8601 in UTC, to the second."""
    return value.astimezone(UTC).isoformat(timespec="seconds") if value is not None else None


def moment(value: datetime) -> str:
    """A time as the sentences write it: ``2026-11-21 09:18 UTC``."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


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


def clause(text: str, *, otherwise: str, limit: int = 300) -> str:
    """*text* as a part of a sentence: on one line, without a full stop; *otherwise* where nothing is left of it."""
    return one_line(text, limit=limit).rstrip(". ") or otherwise


def current_step(attempt: Attempt | None) -> str:
    """The name of the step that runs, or ""; what a node says is only shown, so whatever it is not is ignored."""
    steps = attempt.steps if attempt is not None and isinstance(attempt.steps, list) else []
    running = [item for item in steps if isinstance(item, dict) and item.get("seconds") is None]
    return one_line(str(running[-1].get("name", "")), limit=60) if running else ""
