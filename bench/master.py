"""What the master costs as the catalogue grows: ``make bench-master [ROWS=1000000] [PROJECTS=70000]``.

The first import and a day of events (G11): 8.7 million rows in 15 minutes, half the rate of a bare upsert or better.
The next build out of many (G12): at most 2 (p50) and 3 (p99) times the bare statement, at any size.
"""

from __future__ import annotations

import sys

from sqlalchemy import Engine

from bench import databases, growth, next_build
from master import builds
from master.dispatch import next_build as choose
from schema.db.session import transaction
from schema.names import NodeName

_NODE = NodeName("bench")


def main(most: int) -> None:
    """Print a table for SQLite and PostgreSQL, each at 10,000 rows and ten times as many again, up to *most*."""
    heads = ("p50 ms", "p99 ms", "bare p50", "bare p99", "p50 x", "p99 x")
    print(f"{'database':12} {'rows':>10}", *(f"{head:>8}" for head in heads))
    for kind in databases.KINDS:
        with databases.database(kind) as database:
            next_build.enrol(database)
            rows, filled = 10_000, 0
            while rows <= most:
                next_build.fill(database, first=filled + 1, last=rows)
                found = next_build.measure(database, rows=rows, claim=_claim)
                figures = (*found.ours, *found.bare, *found.ratios)
                print(f"{kind:12} {rows:>10,}", *(f"{figure:8.2f}" for figure in figures), flush=True)
                rows, filled = rows * 10, rows


def _claim(database: Engine) -> None:
    with transaction(database) as session:
        build = choose(session, _NODE, ["debian12-x86_64-cp311"])
        assert build is not None
        builds.lease(session, build, node=_NODE, lease_s=90.0)


if __name__ == "__main__":
    rows, projects = (int(text) for text in sys.argv[1:3])
    growth.show(projects)
    main(rows)
