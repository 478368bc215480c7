"""What a worker of ours does with a message: the task that it names, with its one argument, and nothing else.

Celery would do more for whoever may push to a queue. A message can name further ones to be sent when its task has ended
(``chain``, ``link``, ``link_error``, ``chord``), or be a ``celery.group`` of them; the worker sends them, with its own
rights. So a node could have had the master push to another node's queue, though its own Redis user may not. Some
malformed messages end Celery's worker altogether, and a compressed one may become thousand times as large.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty
from typing import Any, NoReturn

import redis
from celery import Celery, Task, bootsteps
from celery.exceptions import InvalidTaskError
from celery.worker.consumer.tasks import Tasks
from celery.worker.request import Request
from kombu import compression
from kombu.exceptions import DecodeError, OperationalError
from kombu.utils.uuid import uuid

from schema.printable import one_line

log = logging.getLogger(__name__)

_ERROR_CHARACTERS = 200


class Hint(Request):  # type: ignore[misc]
    """A received message, of which name and argument are all that is left; even its number is our own."""

    def __init__(self, message: Any, **options: Any) -> None:  # noqa: ANN401 - as Celery has it
        try:
            [argument], _, _ = message.payload
            task = message.headers["task"]
        except (ValueError, TypeError, KeyError) as err:
            raise InvalidTaskError(f"not a task with one argument: {type(err).__name__}") from err
        clean = {"body": ([argument], {}, {}), "headers": {"id": uuid(), "task": task}, "decoded": True}
        super().__init__(message, **options | clean)


class HintTask(Task):  # type: ignore[misc]
    """The class of all our tasks."""

    abstract = True
    Request = Hint


class Guard(bootsteps.StartStopStep):  # type: ignore[misc]
    """Has a message that nobody can read be dropped; Celery's worker would end by some of them."""

    requires = (Tasks,)

    def start(self, parent: Any) -> None:  # noqa: ANN401 - Celery's consumer
        """Called at each new connection."""
        handlers = parent.task_consumer.channel.handlers
        handlers["BRPOP"] = _guarded(handlers["BRPOP"])


def only_ours(app: Celery) -> None:
    """Have *app* know no task but ours, since ``celery.group`` sends whatever it is given; and nothing compressed."""
    for encoding in compression.encoders():  # type: ignore[no-untyped-call]
        compression.register(None, _refuse, encoding)  # type: ignore[no-untyped-call]
    app.finalize()
    for name in [name for name in app.tasks if name.startswith("celery.")]:
        app.tasks.unregister(name)


def _refuse(_body: bytes) -> NoReturn:
    raise DecodeError("messages are not compressed here")


def _guarded(read: Callable[[], Any]) -> Callable[[], Any]:
    def guarded() -> Any:  # noqa: ANN401
        try:
            return read()
        except (Empty, redis.RedisError, OperationalError, OSError):
            raise  # of the connection, not of what came over it
        except Exception as err:  # noqa: BLE001 - whatever kombu and Celery make of hostile bytes
            log.warning("a message is dropped: %s: %s", type(err).__name__, one_line(str(err), limit=_ERROR_CHARACTERS))
            return None

    return guarded
