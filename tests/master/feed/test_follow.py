"""The feed goes on, nothing is lost and nothing wrongly withdrawn, whatever the upstream tells."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, event, func, select
from sqlalchemy.orm import Session

from master import requests, watch
from master.feed import reconcile
from master.feed.choose import Follower, ask_for_reconcile
from master.upstream import Upstream
from schema.db.models import Base, Build, Mark, Project, UpstreamFile
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.errors import UpstreamError
from schema.sections import Feed, Scope, WatchSection
from schema.states import BuildState
from tests import rows
from tests.pypi import FakePyPI
from tests.upstream import JSON

LONG_AGO = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def index() -> Iterator[FakePyPI]:
    with FakePyPI() as server:
        server.release("demo", "1.0")
        server.release("demo", "2.0")
        server.release("other", "1.0")
        yield server


@pytest.fixture(params=["simple", "changelog"])
def follower(request: pytest.FixtureRequest, database: Engine, upstream: Upstream) -> Follower:
    """A farm that wants demo, has read it, and follows the upstream from here on."""
    settled(database, upstream)
    made = Follower(
        database, upstream, WatchSection(scope=Scope.ALL, changelog=request.param == "changelog", margin_serials=3)
    )
    made.turn()
    return made


def settled(database: Engine, upstream: Upstream) -> None:
    with transaction(database) as session:
        requests.add(session, Requirement("demo"), now=clock(session))
    watch.look_at_due(database, upstream, poll_s=1e6)


def demo(database: Engine) -> Project:
    with transaction(database) as session:
        return session.scalars(select(Project).where(Project.name == "demo")).one()


def mark(database: Engine, name: str = "feed") -> Mark:
    with transaction(database) as session:
        return session.get_one(Mark, name)


def gone(database: Engine) -> set[str]:
    with transaction(database) as session:
        return set(session.scalars(select(UpstreamFile.filename).where(UpstreamFile.gone_at.is_not(None))))


def names(database: Engine) -> set[str]:
    with transaction(database) as session:
        return set(session.scalars(select(UpstreamFile.filename)))


def look(database: Engine, upstream: Upstream, *, after: timedelta = timedelta()) -> None:
    with transaction(database) as session:
        now = clock(session) + after
    watch.look(database, upstream, demo(database).id, poll_s=1e6, now=now)


def test_a_release_is_looked_at_and_its_project_alone(index: FakePyPI, database: Engine, follower: Follower) -> None:
    serial = index.release("demo", "3.0")
    index.release("other", "2.0")

    assert follower.turn() == 1

    wanted = demo(database).id
    with transaction(database) as session:
        assert watch.due(session, clock(session)) == [wanted]
        assert set(session.scalars(select(Project.name))) == {"demo"}
    assert demo(database).event_serial == serial
    assert mark(database).serial == index.serial


def test_what_was_told_is_told_again_without_effect(index: FakePyPI, database: Engine, follower: Follower) -> None:
    index.release("demo", "3.0")
    follower.turn()
    before = demo(database).check_at
    index.journal += index.journal[-2:]
    index.etags = False

    assert follower.turn() == 0

    assert demo(database).check_at == before


def test_a_late_row_within_the_margin_is_not_lost(index: FakePyPI, database: Engine, follower: Follower) -> None:
    late = index.serial + 1
    index.serial += 1
    index.release("other", "2.0")
    follower.turn()

    index.journal.insert(0, ("demo", "3.0", 0, "add source file demo-3.0.tar.gz", late))
    index.listed["demo"] = late

    assert follower.turn() == 1
    assert demo(database).event_serial == late


def test_a_serial_that_goes_backwards_is_no_news(index: FakePyPI, database: Engine, follower: Follower) -> None:
    before = mark(database).serial
    index.serial, index.journal = 5, []
    index.listed = dict.fromkeys(index.listed, 5)

    assert follower.turn() == 0

    assert mark(database).serial == before


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 429, "headers": {"Retry-After": "600"}},
        {"body": b"", "content_type": JSON},
        {"body": b'{"projects": [', "content_type": JSON},
        {"body": b'{"projects": []}', "content_type": JSON},
        {"body": b'{"projects": [{"name": "demo", "_last-serial": 999999}, {', "content_type": JSON},
        {"body": b"\x00garbage", "content_type": JSON},
        {"drip_s": 1.0, "drip_head": True},
    ],
    ids=["500", "429", "nothing", "cut off", "empty", "cut off after an entry", "garbage", "drip"],
)
def test_a_fault_changes_nothing_and_the_feed_goes_on_after_it(
    index: FakePyPI, database: Engine, follower: Follower, fault: dict[str, Any]
) -> None:
    serial = index.release("demo", "3.0")
    before = mark(database).serial
    for path in ("/simple/", "/pypi"):
        index.fail(path, **fault)

    with pytest.raises(UpstreamError):
        follower.turn()

    assert (mark(database).serial, demo(database).event_serial) == (before, 0)
    index.mend()
    with Upstream(index.url, user_agent="wheelfarm/0 (test)", timeout_s=3.0) as again:
        Follower(database, again, WatchSection(scope=Scope.ALL, margin_serials=3)).turn()
    assert demo(database).event_serial == serial


def test_a_stale_page_is_not_taken_and_asked_for_again(
    index: FakePyPI, upstream: Upstream, database: Engine, follower: Follower
) -> None:
    index.page_serials["demo"] = index.listed["demo"]
    index.take_file("demo", "demo-1.0.tar.gz")
    follower.turn()

    look(database, upstream)

    assert not gone(database)
    assert "serial" in demo(database).error
    del index.page_serials["demo"]
    look(database, upstream)
    assert gone(database) == {"demo-1.0.tar.gz"}
    assert demo(database).error == ""


def test_news_that_no_page_ever_bears_out_do_not_hold_a_project_for_ever(
    index: FakePyPI, upstream: Upstream, database: Engine, follower: Follower
) -> None:
    index.page_serials["demo"] = index.listed["demo"]
    index.release("demo", "3.0")
    follower.turn()

    for _ in range(70):
        look(database, upstream)

    assert "demo-3.0.tar.gz" in names(database)


def test_a_file_that_is_taken_away_is_hidden_at_once_and_withdrawn_after_a_second_look(
    index: FakePyPI, upstream: Upstream, database: Engine, follower: Follower
) -> None:
    built(database)
    index.take_file("demo", "demo-1.0.tar.gz")
    follower.turn()

    look(database, upstream)
    first = state(database)
    again = demo(database).check_at
    look(database, upstream, after=timedelta(minutes=11))

    assert (first, state(database)) == (BuildState.PUBLISHED, BuildState.WITHDRAWN)
    with transaction(database) as session:
        assert again < clock(session) + timedelta(minutes=12)


def test_a_file_that_is_missing_without_an_event_is_only_hidden(
    index: FakePyPI, upstream: Upstream, database: Engine, follower: Follower
) -> None:
    built(database)
    index.yank("demo", "2.0")
    follower.turn()
    look(database, upstream)
    index.remove_file("demo", "demo-1.0.tar.gz")

    look(database, upstream)
    look(database, upstream, after=timedelta(minutes=11))

    assert gone(database) == {"demo-1.0.tar.gz"}
    assert state(database) == BuildState.PUBLISHED


def test_a_project_that_is_taken_away_comes_before_new_releases(
    index: FakePyPI, upstream: Upstream, database: Engine, follower: Follower
) -> None:
    with transaction(database) as session:
        requests.add(session, Requirement("other"), now=LONG_AGO)
    index.release("other", "2.0")
    index.quarantine_project("demo")
    index.journal.reverse()

    follower.turn()

    if mark(database).cursor == "changelog":  # the list of projects does not tell what happened
        wanted = demo(database).id
        with transaction(database) as session:
            assert watch.due(session, clock(session))[0] == wanted
    look(database, upstream)
    assert demo(database).status == "quarantined"
    index.clear_project("demo")
    follower.turn()
    look(database, upstream)
    assert demo(database).status == "active"
    assert not gone(database)


def test_one_refused_changelog_falls_back_to_the_list_and_says_so(
    index: FakePyPI, upstream: Upstream, database: Engine
) -> None:
    settled(database, upstream)
    follower = Follower(database, upstream, WatchSection(scope=Scope.ALL, changelog=True, margin_serials=3))
    follower.turn()
    serial = index.release("demo", "3.0")
    index.xmlrpc_fault = (
        -32500,
        "HTTPTooManyRequests: The action could not be performed. Limit may reset in 17 seconds.",
    )

    follower.turn()
    asked = len([path for path, _ in index.requests if path == "/pypi"])
    follower.turn()

    assert demo(database).event_serial == serial
    assert mark(database).note.startswith("simple (the changelog asks for a rest of 17 s")
    assert len([path for path, _ in index.requests if path == "/pypi"]) == asked


@pytest.mark.parametrize(
    "body",
    [b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><methodResponse/>", b"<methodResponse></methodResponse>", b"<a", b"", b"\xff"],
)
def test_a_hostile_changelog_is_refused(index: FakePyPI, upstream: Upstream, database: Engine, body: bytes) -> None:
    settled(database, upstream)
    index.fail("/pypi", body=body, content_type="text/xml")

    Follower(database, upstream, WatchSection(scope=Scope.ALL, changelog=True)).turn()

    assert mark(database).cursor == "simple"


def test_actions_that_nobody_knows_are_counted(index: FakePyPI, upstream: Upstream, database: Engine) -> None:
    settled(database, upstream)
    follower = Follower(database, upstream, WatchSection(scope=Scope.ALL, changelog=True))
    follower.turn()
    index.tell("demo", "paint it\u202e red")

    follower.turn()
    follower.turn()

    unknown = mark(database, "changelog-unknown")
    assert unknown.done == 1
    assert "\u202e" not in unknown.note
    assert demo(database).event_serial < index.serial


@pytest.mark.parametrize("offer", ["html", "no serials", "none"])
def test_an_upstream_without_serials_is_read_page_by_page(
    index: FakePyPI, upstream: Upstream, database: Engine, offer: str
) -> None:
    index.html_only, index.with_serials = offer == "html", False
    if offer == "none":
        index.fail("/simple/", status=404)
    follower = Follower(database, upstream, WatchSection(scope=Scope.ALL, feed=Feed.AUTO))

    assert follower.turn() == 0

    assert not follower.tells_events
    assert mark(database).cursor == "projects"


@pytest.mark.parametrize("settings", [WatchSection(), WatchSection(changelog=True), WatchSection(feed=Feed.PROJECTS)])
def test_a_farm_of_a_few_projects_never_fetches_the_list_of_all(
    index: FakePyPI, upstream: Upstream, database: Engine, settings: WatchSection
) -> None:
    settled(database, upstream)
    follower = Follower(database, upstream, settings)
    follower.turn()
    with transaction(database) as session:
        ask_for_reconcile(session)

    assert not follower.reads_list
    assert reconcile.look_at_all(database)
    assert watch.look_at_due(database, upstream, poll_s=1e6) == 1
    assert not reconcile.look_at_all(database)
    assert "/simple/" not in [path for path, _ in index.requests]


def test_what_a_batch_costs_does_not_grow_with_its_events(database: Engine) -> None:
    from master.feed.news import Event  # noqa: PLC0415
    from master.feed.take import take  # noqa: PLC0415

    counted: list[int] = []
    with transaction(database) as session:
        for number in range(300):
            session.add(Project(name=f"p{number}", title="", check_at=LONG_AGO))
    events = [Event(f"p{number}", 7) for number in range(300)]  # type: ignore[arg-type]

    listener = lambda *_: counted.append(1)  # noqa: E731 - as the event wants it
    event.listen(database, "before_cursor_execute", listener)
    with transaction(database) as session:
        assert take(session, events, now=LONG_AGO) == 300
    event.remove(database, "before_cursor_execute", listener)

    assert len(counted) < 5


def test_new_names_are_offered_to_whoever_adopts(index: FakePyPI, upstream: Upstream, database: Engine) -> None:
    def adopt(session: Session, new: list[str]) -> None:
        for name in new:
            rows.project(session, name)

    follower = Follower(database, upstream, WatchSection(scope=Scope.ALL, margin_serials=0), adopt=adopt)
    follower.turn()
    serial = index.release("fresh", "1.0")

    follower.turn()

    with transaction(database) as session:
        assert session.execute(select(Project.name, Project.event_serial)).all() == [("fresh", serial)]


@pytest.mark.usefixtures("follower")
def test_a_long_list_has_the_database_look_at_its_tables_again_at_each_doubling(
    index: FakePyPI, upstream: Upstream, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.feed.reconcile._BATCH", 2)
    index.listed |= {f"more-{number:02}": 7 for number in range(18)}
    looks: list[int] = []

    def adopt(session: Session, new: list[str]) -> None:
        for name in new:
            rows.project(session, name)

    def count(session: Session, *_: type[Base]) -> None:
        looks.append(session.scalars(select(func.count()).select_from(Project)).one())

    monkeypatch.setattr("schema.db.bulk.analyze", count)
    reconcile.turn(database, upstream, every_s=1e6, adopt=adopt)

    assert looks == [2, 4, 8, 16]


@pytest.mark.usefixtures("follower")
def test_a_reconcile_finds_what_the_feed_left_out(index: FakePyPI, upstream: Upstream, database: Engine) -> None:
    reconcile.turn(database, upstream, every_s=1e6)
    assert not reconcile.turn(database, upstream, every_s=1e6)
    index.take_project("demo")
    index.serial = index.listed["other"] = index.serial + 1

    with transaction(database) as session:
        ask_for_reconcile(session)
    assert reconcile.turn(database, upstream, every_s=1e6)

    walked = mark(database, "reconcile")
    assert walked.finished_at is not None
    assert walked.done == walked.total == 2
    look(database, upstream)
    assert demo(database).status == "missing"
    assert gone(database) == {"demo-1.0.tar.gz", "demo-2.0.tar.gz"}


@pytest.mark.usefixtures("follower")
def test_a_reconcile_whose_list_is_cut_off_goes_on_later(index: FakePyPI, upstream: Upstream, database: Engine) -> None:
    index.fail("/simple/", body=b'{"projects": [{"name": "other"}', content_type=JSON)

    with pytest.raises(UpstreamError):
        reconcile.turn(database, upstream, every_s=1e6)

    assert demo(database).event_serial == 0
    index.mend()
    assert reconcile.turn(database, upstream, every_s=1e6)


def built(database: Engine) -> None:
    with transaction(database) as session:
        sdist = session.scalars(select(UpstreamFile).where(UpstreamFile.version == "1.0")).one()
        moment = clock(session)
        session.add(
            Build(
                project_id=sdist.project_id,
                version="1.0",
                platform=rows.PLATFORM,
                sdist_id=sdist.id,
                policy="always",
                state=BuildState.PUBLISHED,
                created_at=moment,
                changed_at=moment,
            )
        )


def state(database: Engine) -> str:
    with transaction(database) as session:
        return session.scalars(select(Build.state)).one()
