"""What came of trying a wheel where it was not built: one verdict for each image, as plain data off the wire."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from schema import fields
from schema.messages import Json, Message, checked
from schema.platforms import Platform

MOST_VERDICTS: Final = 20
LONGEST_WHY: Final = 500


class Fate(StrEnum):
    """How a wheel fared in an image."""

    IMPORTED = "imported"  # installed and imported by the image's own interpreter
    LOADS = "loads"  # the image has no interpreter for it; its compiled files load
    BROKEN = "broken"
    NOT_CLAIMED = "not claimed"  # its tags do not say that it runs there


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Message):
    """How a wheel fared in one image, such as ``debian12-x86_64``; why: one line, "" where nothing is to be told."""

    image: str
    fate: Fate
    why: str = ""

    @classmethod
    @checked
    def from_json(cls, data: Json) -> Self:
        """Read one off the wire; raise WireError."""
        return cls(
            image=Platform.of_image(fields.text(data["image"], limit=100)).image,
            fate=Fate(data["fate"]),
            why=fields.text(fields.storable(data.get("why", "")), limit=LONGEST_WHY),
        )

    def __str__(self) -> str:
        return f"{self.image}: {self.fate}{f' ({self.why})' if self.why else ''}"
