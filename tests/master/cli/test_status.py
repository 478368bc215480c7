"""``wheelfarm status`` and ``why``: what stands in the database, in plain words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from schema.db.models import Leadership, Repeat
from schema.db.session import engine
from schema.settings import Settings
from tests import entries
from tests.entries import HERE, ago, later
from tests.master.cli.conftest import Call


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    """What is written here is there for the command once ``commit`` was called."""
    made = engine(settings.database_url)
    with Session(made, expire_on_commit=False) as opened:
        yield opened
    made.dispose()


def test_a_farm_that_was_never_started_says_so(wheelfarm: Call, session: Session) -> None:
    session.commit()

    called = wheelfarm("status")

    assert called.code == 0
    assert "upstream  was not asked yet" in called.out
    assert "master " not in called.out
    found = wheelfarm("status", "--json").json
    assert (found["feed"], found["leader"], found["alarms"], found["queued"]) == (None, None, [], {})


def test_status_tells_the_feed_the_walks_the_leader_the_queue_and_alarms(wheelfarm: Call, session: Session) -> None:
    asked, raised, until = ago(minutes=2), ago(minutes=12), later(minutes=1)
    entries.mark(session, "feed", cursor="simple", note="simple", serial=28_123_456, changed_at=asked)
    entries.mark(session, "reconcile", done=350_000, total=700_000, started_at=ago(hours=1))
    entries.mark(session, "scrub", done=3, total=3, started_at=ago(hours=1), finished_at=ago())
    session.add(Leadership(id=1, holder="farm-a:4711", epoch=3, until=until))
    entries.alarm(session, text="node pi4 was not heard\x1b[31m", raised_at=raised)
    entries.build(session, entries.project(session, check_at=later(hours=1)))
    session.commit()

    out = wheelfarm("status").out

    line = f"upstream  simple, serial 28,123,456, asked {asked:%Y-%m-%d %H:%M} UTC, nothing to read"
    assert line in out.splitlines()
    assert "walk      Comparison with all of upstream: 350,000 of 700,000 (50 %)" in out.splitlines()
    assert "Stored files" not in out
    assert "master    farm-a:4711 leads" in out.splitlines()
    assert f"queue     1 for {HERE}" in out.splitlines()
    assert f"alarm     node pi4 was not heard␛[31m (since {raised:%Y-%m-%d %H:%M:%S} UTC)" in out.splitlines()
    found = wheelfarm("status", "--json").json
    assert found["feed"]["serial"] == 28_123_456
    assert found["leader"] == {"holder": "farm-a:4711", "until": f"{until:%Y-%m-%dT%H:%M:%S}+00:00", "leads": True}
    assert [walk["name"] for walk in found["walks"]] == ["reconcile"]
    assert found["queued"] == {HERE: 1}
    assert datetime.fromisoformat(found["alarms"][0]["raised_at"]).utcoffset() == timedelta(0)


def test_why_answers_about_one_version(wheelfarm: Call, session: Session) -> None:
    project = entries.project(session)
    builds = [entries.build(session, project, version) for version in ("1.0", "2.0")]
    session.commit()

    called = wheelfarm("why", "cffi==1.0")

    assert called.out.startswith(f"1.0 {HERE}: Queued, but no node offers {HERE}: ")
    assert "2.0" not in called.out
    (found,) = wheelfarm("why", "CFFI==1.0", "--json").json
    assert (found["build_id"], found["reason"], found["actor"]) == (builds[0].id, "no-node", "operator")
    assert wheelfarm("why", "cffi==one").code == 2


def test_when_a_node_counts_as_silent_stands_in_the_settings(
    wheelfarm: Call, session: Session, settings: Settings
) -> None:
    entries.node(session, heard_at=ago(seconds=settings.timing.lease_s + 1))
    entries.build(session, entries.project(session))
    session.commit()

    assert "the only node for" in wheelfarm("why", "cffi").out
    assert wheelfarm("why", "cffi", "--json").json[0]["reason"] == "nodes-silent"


def test_status_tells_how_many_builds_gave_the_same_bytes_twice(wheelfarm: Call, session: Session) -> None:
    for number, verdict in enumerate(("identical", "identical", "differs", None)):
        project = entries.project(session, f"demo-{number}")
        first = entries.build(session, project, "1.0", state="published")
        again = entries.build(session, project, "1.0", build_number=-1, origin="repeat")
        session.add(Repeat(build_id=first.id, again_id=again.id, verdict=verdict))
    session.commit()

    assert "repeats   3 built twice: 2 identical (67 %), 1 differs (33 %)" in wheelfarm("status").out
    assert wheelfarm("status", "--json").json["repeats"] == {"identical": 2, "differs": 1}
