"""Project pages, one after the other: some at once, in a second or so, and nothing that goes wrong is raised (R14)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.utils import NormalizedName

from master.upstream import NotModified, Page, Upstream
from schema.errors import UpstreamError

# What is fetched is kept in memory, and lost with the process, until it is taken.
_MOST_FILES = 10_000
_LONGEST_S = 1.0

Seen = Page | NotModified | UpstreamError


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A project to ask the upstream for, and what was kept of its last page."""

    id: int
    name: NormalizedName
    etag: str
    last_modified: str


def fetched(
    upstream: Upstream, projects: Sequence[Due], stop: threading.Event | None = None
) -> Iterator[tuple[int, Seen]]:
    """What was seen of each project, by its id.

    It ends early after a second or many files, when *stop* is set, and when the upstream asks for a rest.
    """
    began, files = time.monotonic(), 0
    for project in projects:
        if upstream.rest_s or (stop is not None and stop.is_set()):
            return
        seen = fetch(upstream, project)
        yield project.id, seen
        files += len(seen.files) if isinstance(seen, Page) else 0
        if files >= _MOST_FILES or time.monotonic() - began >= _LONGEST_S:
            return


def fetch(upstream: Upstream, project: Due) -> Seen:
    """What the upstream answers, or what is wrong with that."""
    try:
        return upstream.page(project.name, etag=project.etag, last_modified=project.last_modified)
    except UpstreamError as err:
        return err
