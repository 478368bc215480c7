"""The node's ears: thin Celery tasks that read a message and hand it to the node."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from celery import Celery

from schema import wire
from schema.errors import WireError
from schema.jobs import BuildJob, Lease

log = logging.getLogger(__name__)


class Worker(Protocol):
    """Who does the work."""

    def build(self, job: BuildJob) -> None: ...  # noqa: D102 - the name says it
    def cancel(self, lease: Lease) -> None: ...  # noqa: D102
    def forget(self, lease: Lease) -> None: ...  # noqa: D102


def register(app: Celery, worker: Worker) -> None:
    """Add the node's tasks to *app* alone. A bad message is logged and dropped."""

    @app.task(name=wire.BUILD_WHEEL, shared=False)
    def build_wheel(message: Any) -> None:  # noqa: ANN401 - not trusted yet
        try:
            job = BuildJob.from_json(message)
        except WireError as err:
            log.warning("a job is dropped: %s", err)
        else:
            worker.build(job)

    @app.task(name=wire.CANCEL, shared=False)
    def cancel(message: Any) -> None:  # noqa: ANN401
        _with_lease(message, worker.cancel)

    @app.task(name=wire.FORGET, shared=False)
    def forget(message: Any) -> None:  # noqa: ANN401
        _with_lease(message, worker.forget)


def _with_lease(message: Any, action: Any) -> None:  # noqa: ANN401
    try:
        action(Lease.from_json(message))
    except WireError as err:
        log.warning("a message is dropped: %s", err)
