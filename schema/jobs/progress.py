"""News of a running build."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from schema import fields, names
from schema.jobs.lease import Lease
from schema.messages import Json, Message, checked
from schema.names import NodeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Message):
    """One step of an attempt: fetch, unpack, requirements, build, repair, check, import, sign.

    seconds: None while it runs
    """

    name: str
    started_at: datetime
    seconds: float | None = None
    note: str = ""

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            name=fields.text(data["name"]),
            started_at=fields.instant(data["started_at"]),
            seconds=fields.maybe(data.get("seconds"), fields.seconds),
            note=fields.text(data.get("note", "")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Message):
    """News of a running build: node → master.

    steps: all steps so far
    log: a piece of the log that begins at byte *log_offset*
    """

    node: NodeName
    lease: Lease
    steps: tuple[Step, ...]
    log_offset: int = 0
    log: str = ""

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            node=names.node_name(fields.text(data["node"])),
            lease=Lease.from_json(data["lease"]),
            steps=tuple(Step.from_json(item) for item in fields.items(data["steps"])),
            log_offset=fields.count(data["log_offset"]),
            log=fields.text(data["log"], limit=4 * 2**20),
        )
