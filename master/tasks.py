"""The master's ears: thin Celery tasks that read a message and hand it to the service."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from celery import Celery

from schema import wire
from schema.errors import FarmError, WireError
from schema.jobs import Heartbeat, Progress

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants to know."""

    def on_heartbeat(self, message: Heartbeat) -> None: ...  # noqa: D102 - the name says it
    def on_progress(self, message: Progress) -> None: ...  # noqa: D102


def register(app: Celery, listener: Listener) -> None:
    """Add the master's tasks to *app*. A bad message is logged and dropped: it must never stop the queue.

    They are of this app alone: Celery gives shared ones to every later app, and a master that leads again makes one.
    """

    @app.task(name=wire.HEARTBEAT, shared=False)
    def heartbeat(message: Any) -> None:  # noqa: ANN401 - not trusted yet
        _guarded(lambda: listener.on_heartbeat(Heartbeat.from_json(message)))

    @app.task(name=wire.PROGRESS, shared=False)
    def progress(message: Any) -> None:  # noqa: ANN401
        _guarded(lambda: listener.on_progress(Progress.from_json(message)))


def _guarded(action: Any) -> None:  # noqa: ANN401
    try:
        action()
    except WireError as err:
        log.warning("a message is dropped: %s", err)
    except FarmError as err:
        log.warning("a message could not be handled now, another will follow: %s", err)
