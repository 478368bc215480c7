"""The grant of a build: what tells its messages, and its results, from those of every other try at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from schema import fields
from schema.messages import Json, Message, checked


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Lease(Message):
    """One grant of one build."""

    build_id: int
    fence: int

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(build_id=fields.count(data["build_id"]), fence=fields.count(data["fence"]))

    def __str__(self) -> str:
        return f"{self.build_id}-{self.fence}"
