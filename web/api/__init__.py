"""The HTTP API: what the pages show and do, for programs; described by OpenAPI 3.1, which is made from its own code."""

from web.api import farm, mending, openapi, orders, projects, webhooks, work
from web.api.endpoints import api

__all__ = ["api", "farm", "mending", "openapi", "orders", "projects", "webhooks", "work"]
