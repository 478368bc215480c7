"""How the farm itself does: the upstream's feed, long walks, who leads, alarms, builds by platform."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event, insert, text
from sqlalchemy.orm import Session

from schema.db import health
from schema.db.models import Alarm, Leadership, Project
from schema.db.session import transaction
from tests import entries
from tests.entries import ARM, HERE, ago, later


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as opened:
        yield opened


def test_a_new_farm_has_asked_nobody_and_has_no_leader(session: Session) -> None:
    assert health.feed(session) is None
    assert health.leader(session) is None
    assert not health.open_alarms(session)
    assert not health.walks(session)
    assert health.by_platform(session) == {}


def test_open_alarms_are_found_by_their_index_however_many_have_ended(database: Engine) -> None:
    with transaction(database) as session:
        ended = {"text": "x", "raised_at": ago(days=2), "ended_at": ago(days=1)}
        session.execute(insert(Alarm), [{"name": f"alarm-{number}", **ended} for number in range(5000)])
        for hours in (1, 3, 2):
            entries.alarm(session, name=f"open-{hours}", raised_at=ago(hours=hours))
        session.execute(text("ANALYZE"))
    asked: list[tuple[str, object]] = []
    event.listen(database, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))

    with transaction(database) as session:
        found = [alarm.name for alarm in health.open_alarms(session)]

    assert found == ["open-1", "open-2", "open-3"]
    explain = "EXPLAIN QUERY PLAN" if database.dialect.name == "sqlite" else "EXPLAIN"
    ((sql, values),) = [item for item in asked if "FROM alarms" in item[0]]
    with database.connect() as connection:
        plan = str(connection.exec_driver_sql(f"{explain} {sql}", values).all())  # type: ignore[arg-type]
    assert "ix_alarms_open" in plan, plan


def test_the_feed_tells_how_far_the_news_were_taken_and_how_many_pages_are_to_be_read(session: Session) -> None:
    asked, news = ago(minutes=1), ago(hours=2)
    entries.mark(session, "feed", cursor="simple", note="simple", serial=28_123_456, changed_at=asked, finished_at=news)
    entries.project(session, "due", check_at=ago())
    entries.project(session, "later", check_at=later(hours=1))

    found = health.feed(session)

    assert found is not None
    assert found.sentence == (
        f"simple, serial 28,123,456, asked {asked:%Y-%m-%d %H:%M} UTC, last news {news:%Y-%m-%d %H:%M} UTC,"
        " 1 page to read"
    )


def test_pages_are_not_counted_beyond_a_bound(session: Session) -> None:
    entries.mark(session, "feed", cursor="projects", note="projects (the upstream has no list)", changed_at=ago())
    session.add_all(
        Project(name=f"p{number}", title="p", check_at=ago(hours=1)) for number in range(health.MOST_DUE + 50)
    )
    session.flush()

    found = health.feed(session)

    assert found is not None
    assert found.due == health.MOST_DUE + 1
    assert found.sentence.endswith(", more than 1,000 pages to read")


@pytest.mark.parametrize("leads", [True, False])
def test_whether_a_master_leads_is_told_by_its_lease(session: Session, leads: bool) -> None:  # noqa: FBT001
    until = later(minutes=1) if leads else ago(minutes=1)
    session.add(Leadership(id=1, holder="farm-a:4711", epoch=3, until=until))
    session.flush()

    found = health.leader(session)

    assert found is not None
    assert found.leads is leads
    gone = f"no master leads since {until:%Y-%m-%d %H:%M} UTC, when farm-a:4711 did"
    assert found.sentence == ("farm-a:4711 leads" if leads else gone)


def test_builds_are_told_by_platform_in_the_order_of_a_builds_life(session: Session) -> None:
    project = entries.project(session)
    for number, (platform, state) in enumerate([(HERE, "failed"), (HERE, "queued"), (ARM, "published")]):
        entries.build(session, project, f"{number}.0", platform=platform, state=state)

    assert [(name, list(states)) for name, states in health.by_platform(session).items()] == [
        (ARM, ["published"]),
        (HERE, ["queued", "failed"]),
    ]


def test_what_is_due_is_read_from_its_index(database: Engine) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []
    event.listen(database, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
    with transaction(database) as session:
        entries.mark(session, "feed", cursor="simple")
        asked.clear()
        health.feed(session)
        ((sql, values),) = [item for item in asked if "projects" in item[0]]
        connection = session.connection()
        if database.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # an empty table is read whole otherwise
        explain = "EXPLAIN" if database.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"{explain} {sql}", values))

    assert "ix_projects_check_at" in plan
