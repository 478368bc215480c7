"""What every feed gives: events, and how far they reach."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from packaging.utils import NormalizedName

from schema.errors import UpstreamError

PROJECTS = "projects"  # no feed: each page in its turn


class Kind(StrEnum):
    """What an event asks for: whatever takes something away is looked at first."""

    CHANGED = "changed"
    TAKEN_AWAY = "taken-away"


class Event(NamedTuple):
    """Something happened to a project; a tuple, since there may be many thousands."""

    name: NormalizedName
    serial: int
    kind: Kind = Kind.CHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far the news was taken; serial 0: nothing yet."""

    serial: int = 0
    etag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """News in no order, perhaps told before.

    serial: up to which nothing is missing; unknown: how many actions nobody knows, newest_unknown: one of them
    first: the feed begins here, and does not tell of what was before: a reconcile must
    more: whether the upstream has more to tell at once
    """

    events: tuple[Event, ...]
    serial: int
    etag: str = ""
    unknown: int = 0
    newest_unknown: str = ""
    first: bool = False
    more: bool = False


class Feed(Protocol):
    """One way to learn what changed upstream."""

    name: str

    def news(self, position: Position) -> Batch:
        """What happened since *position*; raise NoFeedError where the upstream has no such feed, else UpstreamError."""


class NoFeedError(UpstreamError):
    """The upstream answers, but does not offer this feed."""
