"""A farm of two nodes whose Redis has TLS and users; only what has to do with Redis runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery import Celery
from sqlalchemy import Engine

from master import redis_users
from master.redis_users import Granted
from schema import redis_link, wire
from schema.db.session import transaction
from schema.names import NodeName
from schema.settings import Settings
from tests.redis_server import Server

A, B = NodeName("a"), NodeName("b")
OWN, OTHER, MASTER = "wheelfarm:node.a", "wheelfarm:node.b", "wheelfarm:master"


@dataclass(frozen=True, slots=True, kw_only=True)
class Farm:
    """A master's settings, its database with the nodes a and b, and the Redis of both."""

    redis: Server
    settings: Settings
    database: Engine

    def grant(self, node: NodeName) -> Granted:
        with transaction(self.database) as session:
            return redis_users.grant(session, self.settings, node, who="ada@here")

    def grant_master(self) -> Granted:
        with transaction(self.database) as session:
            return redis_users.grant_master(session, self.settings, who="ada@here")

    def revoke(self, node: NodeName) -> bool:
        with transaction(self.database) as session:
            return redis_users.revoke(session, self.settings, node, who="ada@here")

    def app(self, granted: Granted) -> Celery:
        return wire.celery_app(granted.url, name="test", tls=self.settings.redis_tls)

    def client(self, granted: Granted) -> Any:
        """Whatever its holder likes to send."""
        return redis_link.client(granted.url, self.settings.redis_tls)

    def lists(self) -> dict[str, list[str]]:
        """Everything that is in Redis."""
        with self.redis.administrator() as client:
            return {key: client.lrange(key, 0, -1) for key in sorted(client.keys("*"))}
