from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from sqlalchemy import Engine, select

from master import readings, requests, urgency, watch
from master.feed.news import Event, Kind
from master.feed.take import take
from master.upstream import Upstream
from schema.db.models import Project, UpstreamFile
from schema.db.session import now as clock
from schema.db.session import transaction
from tests import rows
from tests.looks import look_at_all
from tests.upstream import FakeUpstream

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def index() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        server.add_file("demo", filename="demo-1.0.tar.gz")
        yield server


@pytest.fixture
def upstream(index: FakeUpstream) -> Iterator[Upstream]:
    with Upstream(index.url, user_agent="wheelfarm/0 (test)", timeout_s=3.0) as client:
        yield client


@pytest.fixture
def wanted(database: Engine) -> Engine:
    """A farm in which somebody wants demo."""
    want(database, "demo")
    return database


def want(database: Engine, name: str) -> int:
    with transaction(database) as session:
        (request,) = requests.add(session, Requirement(name), now=NOW)
        return request.project_id


def demo(database: Engine) -> Project:
    with transaction(database) as session:
        return session.scalars(select(Project).where(Project.name == "demo")).one()


def look(database: Engine, upstream: Upstream, *, after_s: float = 0) -> bool:
    return watch.look(database, upstream, demo(database).id, poll_s=600, now=NOW + timedelta(seconds=after_s))


def files(database: Engine) -> dict[str, datetime | None]:
    with transaction(database) as session:
        return {row.filename: row.gone_at for row in session.scalars(select(UpstreamFile))}


def test_a_look_takes_what_the_upstream_has(upstream: Upstream, wanted: Engine) -> None:
    assert look(wanted, upstream)

    assert files(wanted) == {"demo-1.0.tar.gz": None}
    project = demo(wanted)
    assert project.checked_at == NOW
    assert timedelta(seconds=500) < project.check_at - NOW < timedelta(seconds=700)


def test_an_unchanged_page_costs_nothing(index: FakeUpstream, upstream: Upstream, wanted: Engine) -> None:
    look(wanted, upstream)

    assert not look(wanted, upstream, after_s=600)

    assert index.requests[-1][1]["if-none-match"] == demo(wanted).etag
    assert demo(wanted).checked_at == NOW + timedelta(seconds=600)


def test_only_projects_that_somebody_wants_are_looked_at(database: Engine) -> None:
    with transaction(database) as session:
        rows.project(session, "nobody-asked")
        later = clock(session) + timedelta(seconds=5)
        assert watch.due(session, later) == []
    wanted_id = want(database, "demo")
    with transaction(database) as session:
        assert watch.due(session, NOW) == [wanted_id]
        assert watch.due(session, NOW - urgency.PERSON - timedelta(seconds=1)) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 403},
        {"body": b"garbage", "content_type": "text/html"},
        {"body": b"{", "content_type": "application/vnd.pypi.simple.v1+json"},
        {"body": b"\x00" * 100, "content_type": "image/png"},
        {"body": b"<html></html>", "content_type": "text/html"},
    ],
    ids=["500", "403", "no html", "no json", "a picture", "an empty page"],
)
def test_a_bad_answer_changes_nothing_and_is_asked_again_later(
    index: FakeUpstream, upstream: Upstream, wanted: Engine, fault: dict[str, Any]
) -> None:
    look(wanted, upstream)
    before = demo(wanted)
    index.fail("demo", **fault)

    pauses = []
    for times in (1, 2, 3):
        assert not look(wanted, upstream, after_s=600)
        project = demo(wanted)
        assert (project.errors, project.checked_at, project.etag) == (times, before.checked_at, before.etag)
        assert project.error
        pauses.append((project.check_at - NOW).total_seconds() - 600)

    assert pauses[0] < 20 < pauses[1] < 40 < pauses[2] < 80
    assert files(wanted) == {"demo-1.0.tar.gz": None}


def test_pauses_grow_but_not_for_ever() -> None:
    assert readings.pause(1) < readings.pause(3) < readings.pause(6) < readings.pause(50) < 8 * 3600
    assert readings.pause(10_000) > 4 * 3600


def test_after_an_error_a_good_answer_clears_it(index: FakeUpstream, upstream: Upstream, wanted: Engine) -> None:
    index.fail("demo", status=500, times=1)
    look(wanted, upstream)
    assert demo(wanted).errors == 1

    look(wanted, upstream)

    assert (demo(wanted).errors, demo(wanted).error) == (0, "")


def test_a_rest_that_the_upstream_asks_for_is_kept_for_all_projects(
    index: FakeUpstream, upstream: Upstream, wanted: Engine
) -> None:
    want(wanted, "other")
    index.fail("demo", status=429, headers={"Retry-After": "3000"})

    assert watch.look_at_due(wanted, upstream, poll_s=600) == 1

    with transaction(wanted) as session:
        assert demo(wanted).check_at > clock(session) + timedelta(seconds=2900)
    assert watch.look_at_due(wanted, upstream, poll_s=600) == 0
    assert len(index.requests) == 1


def test_an_unknown_project_is_missing_until_it_appears(
    index: FakeUpstream, upstream: Upstream, wanted: Engine
) -> None:
    look(wanted, upstream)
    kept = index.projects.pop("demo")

    assert look(wanted, upstream, after_s=600)
    assert (demo(wanted).status, files(wanted)) == ("missing", {"demo-1.0.tar.gz": NOW + timedelta(seconds=600)})

    index.projects["demo"] = kept
    assert look(wanted, upstream, after_s=1200)
    assert (demo(wanted).status, files(wanted)) == ("active", {"demo-1.0.tar.gz": None})


def test_one_bad_project_does_not_keep_the_others(index: FakeUpstream, upstream: Upstream, wanted: Engine) -> None:
    index.add_file("other", filename="other-1.0.tar.gz")
    want(wanted, "other")
    index.fail("demo", body=b"[" * 100_000, content_type="application/vnd.pypi.simple.v1+json")

    assert look_at_all(wanted, upstream) == 2

    assert files(wanted) == {"other-1.0.tar.gz": None}


def test_a_round_ends_when_it_is_told_to(upstream: Upstream, wanted: Engine) -> None:
    stop = threading.Event()
    stop.set()

    assert watch.look_at_due(wanted, upstream, poll_s=600, stop=stop) == 0


def test_no_transaction_is_open_while_the_upstream_is_slow(
    index: FakeUpstream, upstream: Upstream, wanted: Engine
) -> None:
    index.fail("demo", drip_s=0.05, drip_head=True)
    slow = threading.Thread(target=look, args=(wanted, upstream))

    slow.start()
    while not index.requests:
        pass
    want(wanted, "other")  # would wait for the lock of SQLite's one writer
    assert slow.is_alive()

    slow.join()


def test_a_backlog_holds_up_neither_news_nor_people(wanted: Engine) -> None:
    with transaction(wanted) as session:
        moment = clock(session)
        for name in ("backlog", "news", "gone", "needed"):
            requests.add(session, Requirement(name), origin="scope", now=moment)
        for project in session.scalars(select(Project)):
            project.check_at = project.checked_at = moment - timedelta(hours=9)
        session.scalars(select(Project).where(Project.name == "needed")).one().checked_at = None

        take(session, [Event(NormalizedName("backlog"), 7)], now=moment, backlog=True)
        take(session, [Event(NormalizedName("news"), 8)], now=moment)
        take(session, [Event(NormalizedName("gone"), 9, Kind.TAKEN_AWAY)], now=moment)
        requests.add(session, Requirement("needed"), origin="dependency", because="it 1.0 needs it", now=moment)
        requests.add(session, Requirement("demo"), now=moment)
        session.flush()

        names = dict(session.execute(select(Project.id, Project.name)).all())
        assert [names[number] for number in watch.due(session, moment)] == ["gone", "demo", "news", "needed", "backlog"]
