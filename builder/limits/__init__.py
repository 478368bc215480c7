"""What holds a build to its limits, from outside the sandbox: control groups where there are any, else watchdogs."""

from __future__ import annotations

from typing import Protocol

from schema.states import FailureClass


class Meter(Protocol):
    """Something that is looked at several times a second while a build runs."""

    def look(self) -> FailureClass | None:
        """The limit that the build has gone over; None while it keeps to all."""
