"""What the tests of the sender do to a farm, and see of it."""

from __future__ import annotations

import socket
from contextlib import closing

from sqlalchemy import Engine

from master.keep import alarms
from schema.db import webhooks as table
from schema.db.models import Delivery, Webhook
from schema.db.session import transaction
from tests import hooks

ALARM = {"disk-low": "only 1.0 GiB are free"}


def hook(database: Engine, url: str, name: str = "chat") -> str:
    """A webhook; its secret."""
    with transaction(database) as session:
        return hooks.hook(session, name, url).secret


def happens(database: Engine, **wrong: str) -> None:
    with transaction(database) as session:
        alarms.settle(session, wrong or ALARM)


def state(database: Engine, name: str = "chat") -> Webhook:
    with transaction(database) as session:
        return table.named(session, name)


def deliveries(database: Engine) -> list[Delivery]:
    with transaction(database) as session:
        return hooks.deliveries(session)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])
