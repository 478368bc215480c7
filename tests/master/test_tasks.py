from __future__ import annotations

from typing import Any

from master import tasks
from schema import wire
from schema.jobs import Heartbeat, Progress


class _Ears:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_heartbeat(self, message: Heartbeat) -> None:
        self.heard.append(message)

    def on_progress(self, message: Progress) -> None:
        self.heard.append(message)


def test_each_time_of_leading_has_its_own_ears() -> None:
    message = Heartbeat.from_json(
        {"node": "n1", "version": "1", "slots": 1, "platforms": [], "running": [], "finished": [], "facts": {}}
    )
    before, after = _Ears(), _Ears()
    for ears in (before, after):
        app = wire.celery_app("memory://", name="test")
        tasks.register(app, ears)
        app.finalize()

    app.tasks[wire.HEARTBEAT](message.to_json())

    assert (before.heard, after.heard) == ([], [message])
