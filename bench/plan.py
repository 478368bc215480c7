"""What it costs to decide about a project after an event, as the farm grows: ``make bench-plan [ROWS=1000000]``.

An event brings one project a release. Goal: as many a second with a hundred times as many builds in the catalogue.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from sqlalchemy import Engine, bindparam, func, select, text

from bench import databases
from master import backfill, undecided
from master.planner import Planner
from schema.db.models import Build, Instant, Mark, UpstreamFile
from schema.db.session import engine, now, transaction
from schema.platforms import Platform
from schema.sections import FarmSection
from schema.settings import Settings

_PLATFORM = "debian12-x86_64-cp311"
_SETTINGS = replace(Settings(), farm=FarmSection(platforms=(Platform.parse(_PLATFORM),)))
_EVENTS = 300
_BUILDS_EACH = 10

_NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})",
    "postgresql": "WITH n(i) AS (SELECT generate_series({first}, {last}))",
}
_PROJECTS = """INSERT INTO projects
    (id, name, title, status, status_reason, etag, last_modified, checked_at, check_at, errors, error)
    {numbers} SELECT i, 'p' || i, 'p' || i, 'active', '', '', '', :now, :now, 0, '' FROM n"""
_REQUESTS = """INSERT INTO requests
    (project_id, specifier, platform, extras, policy, dependencies, origin, because, created_at, resolved_at, problem)
    {numbers} SELECT i, '', '', '', 'missing', 'missing', 'scope', 'watch.scope', :now, :now, '' FROM n"""
_FILES = """INSERT INTO upstream_files (id, project_id, filename, version, kind, url, sha256, seen_at)
    {numbers} SELECT i, 1 + (i - 1) / {each}, 'p' || (1 + (i - 1) / {each}) || '-1.' || (i % {each}) || '.tar.gz',
        '1.' || (i % {each}), 'sdist', 'http://127.0.0.1/p.tar.gz', :sha256, :now FROM n"""
_BUILDS = """INSERT INTO builds
    (project_id, version, platform, build_number, sdist_id, policy, state, reason,
        fence, pardoned_fence, needs, created_at, changed_at, followed_at)
    {numbers} SELECT 1 + (i - 1) / {each}, '1.' || (i % {each}), '{platform}', 0, i, 'missing', 'published', '',
        0, 0, '[]', :now, :now, :now FROM n"""


def main(most: int) -> None:
    """Print a table for SQLite and PostgreSQL, each at 10,000 builds and ten times as many again, up to *most*."""
    print(f"{'database':12} {'builds':>10} {'events/s':>9} {'ms each':>8}")
    for kind in databases.KINDS:
        with databases.database(kind) as database:
            snapshot = engine(database.url.render_as_string(hide_password=False), read_only=True)
            _finish_backfill(database)
            rows, filled, serial = 10_000, 0, 0
            while rows <= most:
                _fill(database, first=filled + 1, last=rows)
                planner = Planner(database, snapshot=snapshot, settings=_SETTINGS)
                serial += 1
                seconds = _measure(database, planner, projects=rows // _BUILDS_EACH, serial=serial)
                print(f"{kind:12} {rows:>10,} {_EVENTS / seconds:>9.0f} {1000 * seconds / _EVENTS:>8.2f}", flush=True)
                rows, filled = rows * 10, rows
            snapshot.dispose()


def _fill(database: Engine, *, first: int, last: int) -> None:
    """So many further published builds, ten of each project."""
    projects = {"first": 1 + (first - 1) // _BUILDS_EACH, "last": last // _BUILDS_EACH}
    with transaction(database) as session:
        moment = now(session)
        for statement, numbers in (
            (_PROJECTS, projects),
            (_REQUESTS, projects),
            (_FILES, {"first": first, "last": last}),
            (_BUILDS, {"first": first, "last": last}),
        ):
            made = statement.format(
                numbers=_NUMBERS[database.dialect.name].format(**numbers), each=_BUILDS_EACH, platform=_PLATFORM
            )
            values = {"now": moment, "sha256": "0" * 64} if ":sha256" in made else {"now": moment}
            session.connection().execute(text(made).bindparams(bindparam("now", type_=Instant)), values)
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _finish_backfill(database: Engine) -> None:
    """As after the first walk of a farm that is older than its settings."""
    with transaction(database) as session:
        moment, known = now(session), backfill.fingerprint(_SETTINGS)
        session.add(Mark(name=backfill.MARK, etag=known, started_at=moment, finished_at=moment, changed_at=moment))


def _measure(database: Engine, planner: Planner, *, projects: int, serial: int) -> float:
    """Seconds to decide about the projects of ``_EVENTS`` events, spread over the whole catalogue."""
    step = projects // _EVENTS
    with transaction(database) as session:
        moment = now(session)
        first = (session.scalar(select(func.max(UpstreamFile.id))) or 0) + 10**8  # those of the next filling come below
        for number in range(_EVENTS):
            project_id = 1 + number * step
            session.add(_release(first + number, project_id, f"2.{serial}", moment))
            undecided.again(session, project_id)
    before, began = _builds(database), time.perf_counter()
    while planner.turn():
        pass
    seconds = time.perf_counter() - began
    assert _builds(database) - before == _EVENTS
    return seconds


def _release(number: int, project_id: int, version: str, moment: object) -> UpstreamFile:
    return UpstreamFile(
        id=number,
        project_id=project_id,
        filename=f"p{project_id}-{version}.tar.gz",
        version=version,
        kind="sdist",
        url="http://127.0.0.1/p.tar.gz",
        sha256="0" * 64,
        seen_at=moment,
    )


def _builds(database: Engine) -> int:
    with transaction(database) as session:
        return session.scalar(select(func.count()).select_from(Build)) or 0


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
