"""The lists that are kept in memory say what the database says, and a change costs the same on every farm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from master.site import Site
from master.site.lists import Lists
from master.store import Store
from schema.db.models import Project
from schema.db.session import now, transaction
from schema.platforms import Platform
from schema.states import BuildState
from tests import published, rows

PLATFORMS = (Platform.parse("debian12-x86_64-cp311"), Platform.parse("debian13-aarch64-cp313"))

Change = Callable[[Session, Project], object]


@pytest.fixture
def site(tmp_path: Path, store: Store) -> Site:
    return Site(tmp_path / "site", store, "https://farm.example", PLATFORMS)


@pytest.fixture
def demo(database: Engine, store: Store, tmp_path: Path) -> int:
    """A project whose version 1.0 is published, beside one that is held back."""
    with transaction(database) as session:
        other = published.publish(session, store, published.wheel_file(tmp_path, "other", "1.0"))
        rows.build(session, other.project, version="3.0", state=BuildState.FAILED)
        return published.publish(session, store, published.wheel_file(tmp_path, "demo", "1.0")).project_id


def says(lists: Lists, site: Site) -> tuple[object, ...]:
    return (*(lists.names(view) for view in site.views), *(lists.held(platform) for platform in PLATFORMS))


def whole(session: Session, site: Site) -> Lists:
    lists = site.lists()
    lists.read(session)
    return lists


def quarantine(_: Session, demo: Project) -> None:
    demo.status = "quarantined"


def remove(session: Session, demo: Project) -> None:
    for wheel in demo.wheels:
        wheel.removed_at = now(session)


def build(state: BuildState, version: str = "2.0") -> Change:
    return lambda session, demo: rows.build(session, demo, version=version, state=state)


@pytest.mark.parametrize(
    ("change", "news"),
    [
        (quarantine, True),
        (remove, True),
        (build(BuildState.QUEUED), True),
        (build(BuildState.FAILED), True),
        (build(BuildState.FAILED, version="0.9"), False),
        (build(BuildState.UNNEEDED), False),
        (lambda *_: None, False),
    ],
)
def test_a_change_of_one_project_is_taken_over(
    database: Engine,
    site: Site,
    demo: int,
    change: Change,
    news: bool,  # noqa: FBT001 - a case
) -> None:
    with transaction(database) as session:
        lists = whole(session, site)
    for undo in (False, True):
        with transaction(database) as session:
            project = session.get_one(Project, demo)
            if undo:
                project.status = "active"
            else:
                change(session, project)
            session.flush()

            changed = lists.renew(session, [demo])

            assert says(lists, site) == says(whole(session, site), site)
            assert changed is (news if not undo else change is quarantine)


def test_before_they_were_read_nothing_is_renewed(database: Engine, site: Site, demo: int) -> None:
    lists = site.lists()
    with transaction(database) as session:
        assert not lists.renew(session, [demo])
        lists.read(session)
        assert lists.names(site.views[0]) == ["demo", "other"]


def test_a_change_that_could_not_be_read_to_its_end_is_a_change_the_next_time(
    database: Engine, site: Site, demo: int
) -> None:
    with transaction(database) as session:
        lists = whole(session, site)
        before = says(lists, site)
        quarantine(session, session.get_one(Project, demo))

    def away(_c: object, _k: object, sql: str, *_: object) -> None:
        if "requires_python" in sql:  # what is held back is asked for last
            raise ConnectionError("the database is away")

    event.listen(database, "before_cursor_execute", away)
    with pytest.raises(ConnectionError), transaction(database) as session:
        lists.renew(session, [demo])
    event.remove(database, "before_cursor_execute", away)
    assert says(lists, site) == before

    with transaction(database) as session:
        assert lists.renew(session, [demo])
        assert says(lists, site) == says(whole(session, site), site)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_to_renew_one_project_reads_that_project_only(database: Engine, site: Site, demo: int) -> None:
    asked: list[tuple[str, object]] = []
    with transaction(database) as session:
        rows.build(session, session.get_one(Project, demo), version="2.0", state=BuildState.FAILED)
        lists = whole(session, site)
        event.listen(database, "before_cursor_execute", lambda _c, _k, sql, values, *_: asked.append((sql, values)))
        lists.renew(session, [demo])

    with database.connect() as connection:
        plans = [
            row[3]
            for sql, values in asked.copy()
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)  # type: ignore[arg-type]
        ]
    assert len(plans) > 5
    assert [plan for plan in plans if plan.startswith("SCAN")] == [], plans


def test_all_of_it_is_read_in_few_queries(database: Engine, site: Site, store: Store, tmp_path: Path) -> None:
    with transaction(database) as session:
        for number in range(30):
            wheel = published.publish(session, store, published.wheel_file(tmp_path, f"p{number}", "1.0"))
            rows.build(session, wheel.project, version="2.0", state=BuildState.FAILED)
    asked: list[str] = []
    with transaction(database) as session:

        @event.listens_for(database, "before_cursor_execute")
        def note(_c: object, _k: object, sql: str, *_: object) -> None:
            asked.append(sql)

        lists = whole(session, site)
        event.remove(database, "before_cursor_execute", note)

    assert len(lists.held(PLATFORMS[0])) == 30
    assert len(asked) <= 1 + 3 * len(PLATFORMS)
