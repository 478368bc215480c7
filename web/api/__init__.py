"""The HTTP API: what the pages show and do, for programs; described by OpenAPI 3.1, which is made from its own code."""

from web.api import builds, failures, farm, home, knowledge, nodes, openapi, orders, projects, queue, webhooks, wheels
from web.api.endpoints import api

__all__ = [
    "api",
    "builds",
    "failures",
    "farm",
    "home",
    "knowledge",
    "nodes",
    "openapi",
    "orders",
    "projects",
    "queue",
    "webhooks",
    "wheels",
]
