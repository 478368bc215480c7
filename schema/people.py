"""What people may do: three roles, each of which may do all that the one before it may, and the scopes of tokens."""

from __future__ import annotations

import re
from enum import StrEnum

from schema.errors import UsageError

_USER_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")


class Role(StrEnum):
    """What a person may do, from little to all."""

    VIEWER = "viewer"  # see what the pages show
    OPERATOR = "operator"  # steer builds and nodes
    ADMIN = "admin"  # what concerns the farm as a whole

    def may(self, needed: Role) -> bool:
        """Whether this role is enough where *needed* is."""
        roles = list(Role)
        return roles.index(self) >= roles.index(needed)


class Scope(StrEnum):
    """What a token may be used for; it never allows more than the role of its person does."""

    READ = "read"
    JOBS = "jobs:write"
    NODES = "nodes:write"
    ADMIN = "admin"  # everything


class MetricsReaders(StrEnum):
    """Who may read the figures for Prometheus (``web.metrics``)."""

    TOKEN = "token"  # noqa: S105 - a viewer who has logged in, or a token that may read
    LOCAL = "local"  # and whatever runs on the front-end's machine and asks it directly
    PUBLIC = "public"  # everybody


def user_name(text: str) -> str:
    """The name that a person logs in with; without ``@``, which the command line's people have (``ada@host``)."""
    if not _USER_NAME.fullmatch(text):
        raise UsageError(
            f"not a name to log in with: {text!r}",
            advice="at most 64 lower-case letters, digits and inner dots, hyphens and underscores",
        )
    return text
