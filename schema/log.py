"""Logging, the same for every process: one line an event, with the process's name in front."""

from __future__ import annotations

import logging
import sys
import time

_NOISY = (
    "celery.worker.strategy",
    "celery.app.trace",
    "kombu",
    "amqp",
    "urllib3",
    "alembic.runtime",
    "celery.bootsteps",
)


def set_up(process: str, *, level: str = "INFO") -> None:
    """Send the log of this process to stderr; *level* is one of Python's level names."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(f"%(asctime)s {process} %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    hush()


def hush() -> None:
    """Silence paramiko: its lines are about hostile peers, with tracebacks; the errors raised here say it to people."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
