"""What the master sends to its nodes; each message may be lost, and then something notices."""

from __future__ import annotations

import logging

from celery import Celery

from schema import wire
from schema.errors import UnavailableError
from schema.jobs import BuildJob, Lease
from schema.names import NodeName

log = logging.getLogger(__name__)


class Post:
    """Sends by *app*; a broker that does not answer is logged, and never raised."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, node: NodeName, job: BuildJob) -> None:
        """Give *job* to *node*."""
        log.info("build %s: %s %s for %s goes to node %s", job.build_id, job.project, job.version, job.platform, node)
        try:
            wire.send(self._app, wire.BUILD_WHEEL, job, queue=wire.node_queue(node))
        except UnavailableError as err:
            log.warning("build %s: the message to node %s was not sent: %s", job.build_id, node, err)

    def tell(self, node: NodeName, task: str, lease: Lease) -> None:
        """Have *node* do *task* (``wire.CANCEL`` or ``wire.FORGET``) for a lease."""
        try:
            wire.send(self._app, task, lease, queue=wire.node_queue(node))
        except UnavailableError as err:
            log.warning("build %s: node %s could not be told (%s): %s", lease.build_id, node, task, err)

    def reach(self) -> None:
        """Raise UnavailableError if the broker does not answer; the URL, which may hold a password, is not repeated."""
        wire.reach(self._app, wire.MASTER_QUEUE)
