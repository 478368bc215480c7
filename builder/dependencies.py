"""What a finished wheel needs when it is used, fetched as wheels, so that it can be imported with it (B-15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, parse_wheel_filename

from builder import process, requirements
from builder.images import Image
from builder.requirements import Wheelhouse
from builder.resolving import Supply
from builder.room import Room
from schema.errors import BuildFailedError, LimitExceededError, NodeError
from schema.states import FailureClass
from schema.wheels.check import WheelFacts

# A wheel is tried with what it needs, but not with gigabytes of it.
_FILE_BYTES = 128 * 2**20
_AT_MOST_S = 300.0
_NAME = "dependencies"


def fetch(room: Room, image: Image, facts: WheelFacts, supply: Supply) -> Wheelhouse | None:
    """The wheels of all that it needs without extras, in a new folder of the room.

    None, with the reason in the log, where they cannot be had: one has no wheel yet, is very large, or the index does
    not answer. That is no fault of this wheel's. Raise LimitExceededError (CANCELLED) only.
    """
    supply = replace(supply, as_of=None, file_bytes=_FILE_BYTES, at_most_s=_AT_MOST_S)
    try:
        wanted = requirements.parsed(requirements_of(facts))
        house = requirements.fetch(room, image, wanted, constraints=(), supply=supply, name=_NAME)
    except (BuildFailedError, LimitExceededError, NodeError, OSError) as err:  # OSError: the job's disk is full of them
        if isinstance(err, LimitExceededError) and err.failure_class is FailureClass.CANCELLED:
            raise
        room.log.step(f"imported without what it needs: {err}")
        for left in (room.kept / _NAME, *room.folder.path.glob(f"{_NAME}-*")):
            process.remove(left)
        return None
    return _without(house, facts.project)


def requirements_of(facts: WheelFacts) -> Sequence[str]:
    """Those that do not belong to an extra."""
    return [text for text in facts.requires_dist if "extra" not in str(Requirement(text).marker or "")]


def _without(house: Wheelhouse, project: NormalizedName) -> Wheelhouse:
    """What it needs may need the project itself, which is the very wheel that is to be imported."""
    for path in house.folder.iterdir():
        if parse_wheel_filename(path.name)[0] == project:
            path.unlink()
    return replace(house, materials=tuple(item for item in house.materials if item.name != project))
