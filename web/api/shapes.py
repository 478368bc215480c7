"""What several views of the API tell: plain data, whose fields are the description's, too.

Texts that come from elsewhere (an upstream, a log, a node) have control characters made visible, as on the pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schema.db.models import Canary, Repeat, Wheel
from schema.printable import printable
from web.builds import ShownTry
from web.queries import Shown


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
class AddedRow:
    """What a try had beyond the one before it. source: the id of a rule, or a kind of remedy; why: a sentence."""

    source: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRow:
    """One try of an attempt. ended: a class of failures, or ``built``; evidence, line: of the log, which say why.

    from_memory: it began with what had worked before; helped: it came further than the one before
    """

    number: int
    added: list[AddedRow]
    from_memory: bool
    ended: str
    evidence: str
    line: int | None
    seconds: float
    helped: bool

    @classmethod
    def of(cls, item: ShownTry) -> TryRow:
        """As the pages show it."""
        same = ("number", "from_memory", "ended", "line", "seconds", "helped")
        added = [AddedRow(source=printable(source), why=printable(why)) for source, why in item.added]
        return cls(added=added, evidence=printable(item.evidence), **{name: getattr(item, name) for name in same})


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatRow:
    """That *build* is built once more, as the build *again*. verdict: None until that has ended."""

    build: int
    again: int
    verdict: str | None
    detail: str
    node: str | None
    at: datetime | None

    @classmethod
    def of(cls, row: Repeat | Canary) -> RepeatRow:
        """From the row."""
        return cls(
            build=row.build_id,
            again=row.again_id,
            verdict=row.verdict,
            detail=printable(row.detail),
            node=row.node,
            at=row.told_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """How a wheel fared in an image that it was not built in. fate: imported, loads, broken or not claimed."""

    image: str
    fate: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelRow:
    """A published file. view: the index that it is in, None for all that its tags fit; yanked: the reason, or None.

    repeated: whether another build gave the same bytes, None where it was not tried; repeated_note: what differs
    runtime_packages: Debian packages that it needs where it is used
    """

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
    repeated_note: str
    runtime_packages: list[str]
    portability: list[VerdictRow]

    @classmethod
    def of(cls, row: Wheel) -> WheelRow:
        """From the row, with its project."""
        same = ("filename", "version", "tags", "view", "sha256", "size_bytes", "published_at", "removed_at", "repeated")
        return cls(
            project=row.project.name,
            build=row.build_id,
            requires_python=row.requires_python and printable(row.requires_python),
            yanked=row.yanked and printable(row.yanked),
            repeated_note=printable(row.repeated_note),
            runtime_packages=texts(row.runtime_packages),
            portability=[_verdict(item) for item in row.portability],
            **{name: getattr(row, name) for name in same},
        )


def texts(value: object) -> list[str]:
    """A list of texts in a JSON column; nothing where it is none."""
    return [printable(str(item)) for item in value] if isinstance(value, list) else []


def an_object(value: object) -> dict[str, Any]:
    """An object in a JSON column; empty where it is none."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _verdict(kept: dict[str, Any]) -> VerdictRow:
    return VerdictRow(**{name: printable(str(kept.get(name, ""))) for name in VerdictRow.__slots__})
