"""Celery on Redis, set up so that nothing which matters depends on it.

The database is the truth; a message is only a door-bell. Hence: JSON only, early acknowledgement, no result backend,
and a time-out on every socket, so that a half-open connection is noticed within seconds.
"""

from __future__ import annotations

import warnings

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging
from celery.worker import state

from schema.names import NodeName

# Names of tasks: node → master
HEARTBEAT = "farm.heartbeat"
PROGRESS = "farm.progress"
# master → node
BUILD_WHEEL = "node.build-wheel"
CANCEL = "node.cancel"
FORGET = "node.forget"

MASTER_QUEUE = "master"


def node_queue(name: NodeName) -> str:
    """The queue of one node; nobody else reads it."""
    return f"node.{name}"


def celery_app(redis_url: str, *, name: str) -> Celery:
    """A Celery application for one end of the wire; tasks are added by ``master.tasks`` and ``builder.tasks``."""
    app = Celery(name, broker=redis_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        result_backend=None,
        task_acks_late=False,
        # No limit: a message whose acknowledgement is lost with the connection counts as under way for ever, and as
        # many of them as the limit allows would leave the worker deaf (kombu 5.7 ignores that connection from then on).
        worker_prefetch_multiplier=0,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={
            "global_keyprefix": "wheelfarm:",
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 5,
        },
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0.1, "interval_step": 0.3, "interval_max": 1.0},
        enable_utc=True,
    )
    return app


@setup_logging.connect  # type: ignore[untyped-decorator]
def _keep_our_logging(**_: object) -> None:
    """Celery leaves logging alone once a receiver stands here; ``schema.log`` has set it up."""


def work(app: Celery, *, name: str, queues: list[str], threads: int) -> None:
    """Run *app*'s worker in this thread until SIGTERM or SIGINT, or until ``stop_working``."""
    # Celery warns root because of pickle; only JSON is accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # It also announces what the setting above will mean in its next major version.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    state.should_stop = None
    app.Worker(
        hostname=f"{name}@wheelfarm",
        queues=queues,
        pool="threads",
        concurrency=threads,
        loglevel=None,
        logfile=None,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    ).start()


def stop_working() -> None:
    """Have ``work`` return, once what runs has ended; for another thread to call."""
    state.should_stop = 0


def drop_backlog(app: Celery, queue: str) -> None:
    """Throw away what nobody heard: a hint that is minutes old tells less than the next one will."""
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge(queue)
