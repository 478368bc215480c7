"""A whole catalogue for the first time (G11): the upstream's list, then every page, as the master's loops take them."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from master import scope, watch
from master.feed import choose, reconcile
from master.reader import Reader
from master.upstream import Upstream
from schema.db.models import Project, UpstreamFile
from schema.db.session import now, transaction
from schema.settings import Settings, load


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What it took. list_s, pages_s: the two parts; rows: projects and files; peak_mib: of this process so far."""

    projects: int
    rows: int
    list_s: float
    pages_s: float
    peak_mib: float

    @property
    def rows_per_s(self) -> float:
        """Over both parts."""
        return self.rows / (self.list_s + self.pages_s)


@contextmanager
def settings_for(url: str) -> Iterator[Settings]:
    """A farm that wants all of the upstream at *url*."""
    with tempfile.TemporaryDirectory(prefix="wf-bench-") as name:
        file = Path(name) / "farm.toml"
        file.write_text(
            f'[upstream]\nindex_url = "{url}/simple/"\n[watch]\nscope = "all"\nchangelog = true\n', encoding="utf-8"
        )
        yield load(file)


def measure(database: Engine, settings: Settings, upstream: Upstream) -> Figures:
    """Import everything that *upstream* lists into an empty database."""
    follower = choose.Follower(database, upstream, settings.watch)
    follower.turn()  # notes where the news begin, and asks for everything that was before
    began = time.perf_counter()
    reconcile.turn(database, upstream, every_s=1e9, adopt=partial(_adopt, settings))
    listed = time.perf_counter()
    with closing(Reader(settings)) as reader:
        while watch.look_at_due(database, upstream, poll_s=1e9, reader=reader):
            pass
    ended = time.perf_counter()
    with transaction(database) as session:
        projects = session.scalar(select(func.count()).select_from(Project).where(Project.checked_at.is_not(None))) or 0
        files = session.scalar(select(func.count()).select_from(UpstreamFile)) or 0
    return Figures(
        projects=projects,
        rows=projects + files,
        list_s=listed - began,
        pages_s=ended - listed,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _adopt(settings: Settings, session: Session, names: list[str]) -> None:
    scope.adopt(session, names, settings=settings, now=now(session))
