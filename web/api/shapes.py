"""What the API tells of each thing: plain data, whose fields are the description's, too.

Texts that come from elsewhere (an upstream, a log, a node) have control characters made visible, as on the pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schema.db.models import Alarm, Attempt, AuditEntry, Order, Project, Wheel
from schema.printable import printable
from web.queries import Crew, Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """A build. reason: why it is in that state, in a code; sentence: in words; score: higher is built sooner."""

    id: int
    project: str
    version: str
    platform: str
    state: str
    reason: str
    sentence: str
    build_number: int
    score: float
    created_at: datetime
    changed_at: datetime
    node: str | None

    @classmethod
    def of(cls, shown: Shown) -> BuildRow:
        """As the pages show it."""
        build = shown.build
        return cls(
            id=build.id,
            project=build.project.name,
            version=build.version,
            platform=build.platform,
            state=build.state,
            reason=shown.answer.reason.value,
            sentence=printable(shown.answer.sentence),
            build_number=build.build_number,
            score=build.score,
            created_at=build.created_at,
            changed_at=build.changed_at,
            node=build.leased_to,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One try at a build. failure_class: None where it did not fail; evidence: the line of the log that says why."""

    number: int
    node: str
    outcome: str
    failure_class: str | None
    message: str
    evidence: str
    started_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Attempt) -> AttemptRow:
        """From the row."""
        return cls(
            number=row.fence,
            node=row.node,
            outcome=row.outcome,
            failure_class=row.failure_class,
            message=printable(row.message),
            evidence=printable(row.evidence),
            started_at=row.started_at,
            finished_at=row.finished_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelRow:
    """A published file. view: the index that it is in, None for all that its tags fit; yanked: the reason, or None."""

    filename: str
    project: str
    version: str
    build: int
    tags: str
    view: str | None
    sha256: str
    size_bytes: int
    requires_python: str | None
    published_at: datetime
    yanked: str | None
    removed_at: datetime | None
    repeated: bool | None

    @classmethod
    def of(cls, row: Wheel) -> WheelRow:
        """From the row, with its project."""
        same = ("filename", "version", "tags", "view", "sha256", "size_bytes", "published_at", "removed_at", "repeated")
        return cls(
            project=row.project.name,
            build=row.build_id,
            requires_python=row.requires_python and printable(row.requires_python),
            yanked=row.yanked and printable(row.yanked),
            **{name: getattr(row, name) for name in same},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRow:
    """A project that somebody asked for. status: PEP 792's, or missing; wheels: those that are served."""

    name: str
    title: str
    status: str
    wheels: int
    downloads: int

    @classmethod
    def of(cls, row: Project, wheels: int) -> ProjectRow:
        """From the row."""
        title = printable(row.title)
        return cls(name=row.name, title=title, status=row.status, wheels=wheels, downloads=row.downloads)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A machine that builds. silent: it was not heard for longer than a lease; unfit: why it gets no builds, or ""."""

    name: str
    state: str
    state_reason: str
    unfit: str
    silent: bool
    heard_at: datetime | None
    version: str
    slots: int
    platforms: list[str]
    emulated: list[str]
    cores: int
    memory_bytes: int
    disk_free_bytes: int
    temperature_c: float | None
    load: float | None
    builds: list[int]

    @classmethod
    def of(cls, crew: Crew) -> NodeRow:
        """As the pages show it."""
        node, vitals = crew.node, crew.health.vitals
        same = ("name", "state", "heard_at", "slots", "cores", "memory_bytes", "disk_free_bytes")
        return cls(
            state_reason=printable(node.state_reason),
            unfit=printable(node.unfit),
            version=printable(node.version),
            silent=crew.silent,
            platforms=_texts(node.platforms),
            emulated=_texts(node.emulated),
            temperature_c=vitals.temperature_c,
            load=vitals.load,
            builds=[item.build.id for item in crew.builds],
            **{name: getattr(node, name) for name in same},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow:
    """Something that a person should look at; ended_at: None while it is so."""

    name: str
    text: str
    raised_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: Alarm) -> AlarmRow:
        """From the row."""
        return cls(name=row.name, text=printable(row.text), raised_at=row.raised_at, ended_at=row.ended_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """What a person had the farm do. before, after: of what changed."""

    id: int
    at: datetime
    who: str
    action: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str

    @classmethod
    def of(cls, row: AuditEntry) -> AuditRow:
        """From the row."""
        return cls(
            id=row.id,
            at=row.at,
            who=printable(row.who),
            action=row.action,
            subject=printable(row.subject),
            before=_object(row.before),
            after=_object(row.after),
            reason=printable(row.reason),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """What somebody asked the farm to do. outcome: done, refused or failed; None: the master has not come to it."""

    id: int
    who: str
    action: str
    asked_at: datetime
    done_at: datetime | None
    outcome: str | None
    told: str
    result: dict[str, Any]

    @classmethod
    def of(cls, row: Order, *, whole: bool = True) -> OrderRow:
        """From the row; not *whole*: without the result, which may be long."""
        return cls(
            id=row.id,
            who=printable(row.who),
            action=row.action,
            asked_at=row.asked_at,
            done_at=row.done_at,
            outcome=row.outcome,
            told=printable(row.told),
            result=_object(row.result) if whole else {},
        )


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
