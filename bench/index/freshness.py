"""How soon a published wheel is on its page (G9), asked of the front-end and of nginx, while a loop renders."""

from __future__ import annotations

import shutil
import statistics
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from bench.index import servers
from bench.index.corpus import HEAVY, PLATFORM, SMALL, Corpus
from bench.index.servers import Running
from master import builds
from master.loops import Loop
from master.site.listing import Listing
from master.site.marked import Marked
from schema.db.models import Project
from schema.db.session import engine, transaction
from tests.published import publish, wheel_file

TIMES = 100
_PAUSE_S = 0.002
_GIVE_UP_S = 30
_TICK_S = 1.0  # [timing] tick_s, as it is set by default
_RENDERINGS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Seconds from before the wheel goes into the store until a page names it, by server; each time that it was tried.

    heavy_processor_s: of rendering a page of 2,000 files
    """

    seen_s: dict[str, Sequence[float]]
    heavy_processor_s: float


def measure(made: Corpus, folder: Path, *, times: int = TIMES) -> Freshness:
    """Publish *times* wheels of one project, one after the other, and look for each through both servers."""
    folder.mkdir()
    with _rendering(made) as render, servers.all_of(made, (servers.SHIPPED, servers.OURS), folder) as running:
        asked = running[1:]
        seen: dict[str, list[float]] = {server.kind.name: [] for server in asked}
        for number in range(times):
            server = asked[number % len(asked)]
            seen[server.kind.name].append(_seen_after(made, render, server, f"2.{number}", folder))
        return Freshness(seen_s=dict(seen), heavy_processor_s=_heavy(made))


def show(found: Freshness) -> None:
    """Print the table."""
    print(f"\n{'published, then on its page':<26} {'p50 s':>10} {'p99 s':>10} {'times':>10}")
    for name, each in found.seen_s.items():
        p50, p99 = shares(each)
        print(f"  {name:<24} {p50:>10.3f} {p99:>10.3f} {len(each):>10}")
    print(f"processor time of rendering a page of 2,000 files: {found.heavy_processor_s * 1000:.0f} ms")


def shares(each: Sequence[float]) -> tuple[float, float]:
    """p50 and p99."""
    return statistics.median(each), statistics.quantiles(each, n=100, method="inclusive")[98]


@contextmanager
def _rendering(made: Corpus) -> Iterator[Loop]:
    """The master's loop that renders what is marked, woken by whoever publishes."""
    snapshot = engine(str(made.database.url), read_only=True)
    listing = Listing(site=made.site, snapshot=snapshot)
    marked = Marked(site=made.site, listing=listing, snapshot=snapshot, database=made.database, unfenced=made.database)
    while marked.turn():
        pass
    loop = Loop("render", marked.turn, pause_s=_TICK_S)
    loop.start()
    try:
        yield loop
    finally:
        loop.stop()
        loop.join()
        snapshot.dispose()


def _seen_after(made: Corpus, render: Loop, server: Running, version: str, folder: Path) -> float:
    page = urllib.request.Request(  # noqa: S310 - a server of ours
        server.url + server.kind.page.format(name=SMALL), headers={"Accept": "text/html"}
    )
    wheel = wheel_file(folder, SMALL, version)
    began = time.perf_counter()
    with transaction(made.database) as session:
        row = publish(session, made.store, wheel, platform=str(PLATFORM))
        builds.touch_page(session, row.project_id)
    render.wake()
    while time.perf_counter() - began < _GIVE_UP_S:
        with urllib.request.urlopen(page, timeout=_GIVE_UP_S) as answer:  # noqa: S310
            if wheel.name.encode() in answer.read():
                return time.perf_counter() - began
        time.sleep(_PAUSE_S)
    raise RuntimeError(f"{server.kind.name} does not show {wheel.name} after {_GIVE_UP_S} s")


def _heavy(made: Corpus) -> float:
    """The page is written anew each time, compressed forms and all."""
    times = []
    with transaction(made.database) as session:
        project = session.scalars(select(Project).where(Project.name == HEAVY)).one_or_none()
        if project is None:
            return float("nan")
        for _ in range(_RENDERINGS):
            for view in made.site.views:
                shutil.rmtree(made.site.folder / view.path / HEAVY, ignore_errors=True)
            began = time.process_time()
            made.site.render(session, project.id)
            times.append((time.process_time() - began) / len(made.site.views))
    return statistics.median(times)
