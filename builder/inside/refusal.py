"""How a script inside the sandbox says that it will not go on, and why."""

from __future__ import annotations

REFUSED = 99  # the exit code; no interpreter, shell or signal ends a process with it


class RefusedError(Exception):
    """The text is for people; *failure_class* is one of ``schema.states.FailureClass``."""

    def __init__(self, message: str, *, failure_class: str) -> None:
        super().__init__(message)
        self.failure_class = failure_class
