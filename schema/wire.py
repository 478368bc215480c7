"""Celery on Redis, set up so that nothing which matters depends on it.

The database is the truth; a message is only a door-bell. Hence: JSON only, early acknowledgement, no result backend,
and a time-out on every socket, so that a half-open connection is noticed within seconds.

In Redis there is one list for each queue, and nothing else: ``wheelfarm:master`` and ``wheelfarm:node.NAME``. Who
listens to a queue takes from its list, who rings pushes to it; so each end can have a Redis user that may do just that
(``master.redis_acl``). kombu's other keys are kept away:

* ``unacked``, ``unacked_index``, ``unacked_mutex``: what was taken and not acknowledged. A worker would give it to
  others after an hour by its own clock, also what another took, by a script (EVAL); leases in the database do better.
* ``_kombu.binding.*``: routing tables, which a queue without an exchange does not have.
* a list for each priority of a queue: priorities are the database's.
"""

from __future__ import annotations

import warnings

import redis
from celery import Celery
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging
from celery.worker import state
from kombu.exceptions import OperationalError
from kombu.transport.redis import Channel

from schema import hints, redis_link
from schema.errors import UnavailableError
from schema.messages import Message
from schema.names import NodeName
from schema.redis_url import Tls

# What was taken and not begun when a connection ends is lost, and something notices. kombu would push it back, and
# where Redis is gone pickle it into a file in /tmp. It has no option for that.
Channel.do_restore = False

# Names of tasks: node → master
HEARTBEAT = "farm.heartbeat"
PROGRESS = "farm.progress"
# master → node
BUILD_WHEEL = "node.build-wheel"
CANCEL = "node.cancel"
FORGET = "node.forget"

MASTER_QUEUE = "master"
_NODES = "node."
EVERY_NODES_QUEUE = f"{_NODES}*"  # a pattern of Redis
_PREFIX = "wheelfarm:"
_REDIS_ERRORS = (OperationalError, redis.RedisError, OSError)


def node_queue(name: NodeName) -> str:
    """The queue of one node; nobody else reads it."""
    return f"{_NODES}{name}"


def key(queue: str) -> str:
    """The list in Redis that is *queue*."""
    return _PREFIX + queue


def user(queue: str) -> str:
    """The Redis user who listens to *queue*: ``master``, or ``node.NAME`` (a node's name has no dot)."""
    return queue


def is_a_nodes(user: str) -> bool:
    """Whether the Redis user *user* is some node's."""
    return user.startswith(_NODES)


def celery_app(redis_url: str, *, name: str, tls: Tls | None = None) -> Celery:
    """A Celery application for one end of the wire; tasks are added by ``master.tasks`` and ``builder.tasks``.

    tls: how a ``rediss://`` is spoken to; None: as by default
    Raise SettingsError for a file of it that cannot be used.
    """
    app = Celery(name, broker=redis_url, set_as_current=False, task_cls=hints.HintTask)
    app.steps["consumer"].add(hints.Guard)
    app.amqp.autoexchange = lambda _queue: None
    app.amqp.default_exchange = None
    app.conf.update(
        broker_use_ssl=redis_link.options(redis_url, tls or Tls()),
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
            "global_keyprefix": _PREFIX,
            "ack_emulation": False,
            "priority_steps": [0],
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
    """Run *app*'s worker in this thread until SIGTERM or SIGINT, or until ``stop_working``.

    Raise UnavailableError if it ends by itself, as it does where Redis takes a right away that it had.
    """
    # Celery warns root because of pickle; only JSON is accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # It also announces what the setting above will mean in its next major version.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    state.should_stop = None
    hints.only_ours(app)
    worker = app.Worker(
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
    )
    worker.start()
    if worker.exitcode:
        raise UnavailableError("no message can be taken any more", advice="the log says why, just before this")


def stop_working() -> None:
    """Have ``work`` return, once what runs has ended; for another thread to call."""
    state.should_stop = 0


def send(app: Celery, task: str, message: Message, *, queue: str) -> None:
    """Ring at *queue*; raise UnavailableError if Redis does not take it, RefusedError if it does not let us."""
    try:
        # Nothing is declared: that would ask for the length of a queue that the sender may only push to.
        app.send_task(task, [message.to_json()], queue=queue, declare=[])
    except _REDIS_ERRORS as err:
        raise redis_link.explained(err) from err


def reach(app: Celery, queue: str) -> None:
    """Raise UnavailableError if Redis does not answer, RefusedError if it does not let us listen to *queue*."""
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=6)
            # As a declaration does, but by the connection that is there: with TLS another one takes 0.1 s.
            connection.default_channel.client.llen(queue)
    except _REDIS_ERRORS as err:
        raise redis_link.explained(err) from err


def drop_backlog(app: Celery, queue: str) -> None:
    """Throw away what nobody heard: a hint that is minutes old tells less than the next one will.

    Raise UnavailableError or RefusedError, as ``reach`` does.
    """
    try:
        with app.connection_for_write() as connection:
            connection.default_channel.queue_purge(queue)
    except _REDIS_ERRORS as err:
        raise redis_link.explained(err) from err
