"""What a catalogue costs at 1/100, 1/10 and all of PyPI's size: its first import, then a day of events (G11)."""

from __future__ import annotations

from bench import databases, day, first_import
from bench.catalogue import FULL_SIZE, Catalogue
from bench.upstream import happen, running
from master.upstream import Upstream

_EVENTS = 20_000  # of a day


def show(most: int) -> None:
    """Print both tables' rows for each database and each size up to *most* projects."""
    print(
        f"{'database':12} {'projects':>8} {'rows':>10} {'list s':>8} {'pages s':>8} {'rows/s':>8} {'15 min hold':>12}"
        f" {'MiB':>5} | {'events/s':>8} {'bare':>8} {'x':>5} {'day s':>6} {'looks/s':>8}"
    )
    for kind in databases.KINDS:
        for projects in (size for size in (FULL_SIZE // 100, FULL_SIZE // 10, FULL_SIZE) if size <= most):
            print(f"{kind:12}", *_measured(kind, projects), flush=True)


def _measured(kind: str, projects: int) -> tuple[str, ...]:
    with (
        databases.database(kind) as database,
        running(projects) as url,
        first_import.settings_for(url) as settings,
        Upstream.from_settings(settings) as upstream,
    ):
        found = first_import.measure(database, settings, upstream)
        events = min(_EVENTS, projects)
        happen(url, events)
        after = day.measure(database, settings, upstream, Catalogue(projects=projects), events=events)
    return (
        f"{found.projects:>8,} {found.rows:>10,} {found.list_s:8.1f} {found.pages_s:8.1f} {found.rows_per_s:8,.0f}",
        f"{found.rows_per_s * 900:12,.0f} {found.peak_mib:5.0f} |",
        f"{after.ours:8,.0f} {after.bare:8,.0f} {after.ratio:5.2f} {after.follow_s:6.1f}",
        f"{after.pages / after.pages_s:8,.0f}",
    )
