"""A build's page: its attempts, and what is known of the one that is looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from schema.db import audit, repeats, scoring
from schema.db.models import Attempt, AuditEntry, Build, Canary, Failure, Node, Repeat, Wheel
from schema.db.session import now
from schema.db.why.answers import Answer
from schema.db.why.sentences import about
from schema.db.why.surroundings import Rules, scene
from schema.errors import WireError
from schema.jobs import Material, Step, Usage
from schema.printable import one_line
from schema.remedies import Try
from schema.score import Term
from schema.states import OPEN_STATES
from web import farm, usage
from web.plots import Plot

_RESOURCES = {"wall_s": "Time", "cpu_s": "Processor time", "peak_memory_bytes": "Memory, at most", "disk_bytes": "Disk"}
_MATERIALS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedStep:
    """A step; seconds: so far, while it runs; share: of the longest step, in percent."""

    name: str
    note: str
    seconds: float
    running: bool
    share: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTry:
    """One try of an attempt, fit to be shown.

    added: what it had beyond the try before: where that comes from, and why
    ended: a class of failures, or "built"; evidence: the line that says why, line: its number in the log
    """

    number: int
    added: Sequence[tuple[str, str]]
    from_memory: bool
    ended: str
    evidence: str
    line: int | None
    seconds: float
    helped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A thing that an attempt took. unit: ``s``, ``bytes`` or ""; share: of the *whole*, in percent, None: unknown."""

    name: str
    title: str
    unit: str
    amount: float
    share: int | None = None
    whole: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPage:
    """A build and the attempt that is looked at (None before the first).

    score: empty where it decides nothing any more
    repeat: that it is built once more, or is itself the second one; None for most
    node: that of the attempt; None where it is not known any more
    cluster_id: of the builds that failed of the same cause; None where it is not failed, or not sorted yet
    """

    build: Build
    answer: Answer
    attempts: Sequence[Attempt]
    attempt: Attempt | None
    wheels: Sequence[Wheel]
    audit: Sequence[AuditEntry]
    score: Sequence[Term]
    repeat: Repeat | Canary | None
    node: Node | None
    cluster_id: int | None

    @property
    def is_open(self) -> bool:
        """Whether the farm still has something to do, so that the page is worth a second look."""
        return self.build.state in OPEN_STATES

    @property
    def steps(self) -> list[TimedStep]:
        """Of the attempt; a step that never ended counts up to the attempt's end."""
        return timed(self.attempt) if self.attempt else []

    @property
    def tries(self) -> list[ShownTry]:
        """Of the attempt; none where it was tried once, with nothing but its recipe."""
        return tries(self.attempt) if self.attempt else []

    @property
    def materials(self) -> list[Material]:
        """What went into the attempt, by kind and name."""
        return materials(self.attempt) if self.attempt else []

    @property
    def environment(self) -> list[tuple[str, str]]:
        """The variables that the build saw."""
        return sorted((str(key), str(value)) for key, value in _pairs(self.attempt and self.attempt.environment))

    @property
    def usage(self) -> list[Usage]:
        """What the attempt used as time went; nothing where its node does not tell."""
        return usage.points(self.attempt.usage) if self.attempt else []

    @property
    def plots(self) -> list[Plot]:
        """The same as pictures."""
        return usage.plots(self.usage, _steps(self.attempt)) if self.attempt else []

    @property
    def resources(self) -> list[Used]:
        """What the attempt took, beside what its node has."""
        found = [(key, value) for key, value in _pairs(self.attempt and self.attempt.resources) if _is_number(value)]
        wall_s = next((float(value) for key, value in found if key == "wall_s"), 0.0)
        return [_used(key, float(value), node=self.node, wall_s=wall_s) for key, value in found]


def build_page(session: Session, build_id: int, *, fence: int | None, rules: Rules) -> BuildPage | None:
    """None if there is no such build, or no such attempt at it."""
    build = session.scalar(
        select(Build).options(joinedload(Build.project), joinedload(Build.sdist)).where(Build.id == build_id)
    )
    if build is None:
        return None
    attempts = session.scalars(select(Attempt).where(Attempt.build_id == build_id).order_by(Attempt.fence)).all()
    attempt = next((item for item in attempts if item.fence == fence), None)
    if fence is not None and attempt is None:
        return None
    shown = attempt or (attempts[-1] if attempts else None)
    answer = about(build, scene(session, [build], rules=rules))
    wheels = session.scalars(select(Wheel).where(Wheel.build_id == build_id).order_by(Wheel.filename)).all()
    return BuildPage(
        build=build,
        answer=answer,
        attempts=attempts,
        attempt=shown,
        wheels=wheels,
        audit=audit.entries(session, limit=farm.PAGE, subject=f"build {build_id}"),
        repeat=repeats.of(session, build_id),
        score=scoring.explain(session, build, now=now(session)) if build.state in scoring.SCORED else (),
        node=session.get(Node, shown.node.replace("\0", "")) if shown else None,
        cluster_id=session.scalar(select(Failure.cluster_id).where(Failure.build_id == build_id)),
    )


def tries(attempt: Attempt) -> list[ShownTry]:
    """Of *attempt*; none where it was tried once, with nothing but its recipe."""
    found = [made for item in _listed(attempt.tries) if (made := _try(item))]
    shown = [_shown(number, made) for number, made in enumerate(found, 1)]
    return shown if len(shown) > 1 or any(item.added for item in shown) else []


def materials(attempt: Attempt) -> list[Material]:
    """What went into *attempt*, by kind and name; what is no material is left out."""
    found = [_material(item) for item in _listed(attempt.materials)]
    return sorted((item for item in found if item), key=lambda item: (item.kind, item.name))


def timed(attempt: Attempt) -> list[TimedStep]:
    """The steps of *attempt* with their durations; what is no step is left out."""
    steps = _steps(attempt)
    end = attempt.finished_at or datetime.now(UTC)
    seconds = [
        step.seconds if step.seconds is not None else max((end - step.started_at).total_seconds(), 0.0)
        for step in steps
    ]
    longest = max(seconds, default=0.0) or 1.0
    return [
        TimedStep(
            name=one_line(step.name, limit=60),
            note=one_line(step.note),
            seconds=passed,
            running=step.seconds is None and attempt.finished_at is None,
            share=round(100 * passed / longest),
        )
        for step, passed in zip(steps, seconds, strict=True)
    ]


def _used(key: str, amount: float, *, node: Node | None, wall_s: float) -> Used:
    share, whole = None, ""
    if node is not None and key == "cpu_s" and node.cores and wall_s:
        share, whole = 100 * amount / (wall_s * node.cores), f"what {node.cores} cores could do in that time"
    elif node is not None and key == "peak_memory_bytes" and node.memory_bytes:
        share, whole = 100 * amount / node.memory_bytes, "its node's memory"
    return Used(
        name=key,
        title=_RESOURCES.get(key, key),
        unit=next((unit for unit in ("s", "bytes") if key.endswith(f"_{unit}")), ""),
        amount=amount,
        share=round(min(max(share, 0), 100)) if share is not None else None,
        whole=whole,
    )


def _is_number(value: Any) -> bool:  # noqa: ANN401 - as below
    return isinstance(value, (int, float)) and math.isfinite(value)


def _steps(attempt: Attempt) -> list[Step]:
    return [step for item in _listed(attempt.steps) if (step := _step(item))]


def _step(item: object) -> Step | None:
    try:
        return Step.from_json(item)
    except WireError:
        return None


def _try(item: object) -> Try | None:
    try:
        return Try.from_json(item)
    except WireError:
        return None


def _shown(number: int, made: Try) -> ShownTry:
    return ShownTry(
        number=number,
        added=[(remedy.rule or str(remedy.rung), one_line(remedy.why)) for remedy in made.added],
        from_memory=made.from_memory,
        ended=str(made.failure_class or "built"),
        evidence=one_line(made.evidence),
        line=made.line,
        seconds=made.seconds,
        helped=made.helped,
    )


def _material(item: object) -> Material | None:
    try:
        return Material.from_json(item)
    except WireError:
        return None


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - a JSON column that a node filled
    return value[:_MATERIALS] if isinstance(value, list) else []


def _pairs(value: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - as above
    return list(value.items())[:_MATERIALS] if isinstance(value, Mapping) else []
