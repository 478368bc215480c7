"""RSS as a wake-up: it brings looks forward, and nothing rests on it (W-09)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine, select

from master import requests
from master.feed.choose import Follower
from master.feed.rss import WakeUp
from master.upstream import Upstream
from schema.db.models import Mark, Project
from schema.db.session import now as clock
from schema.db.session import transaction
from schema.errors import UpstreamError
from schema.sections import WatchSection
from tests.looks import look_at_all
from tests.pypi import FakePyPI


@pytest.fixture
def index() -> Iterator[FakePyPI]:
    with FakePyPI() as server:
        server.release("demo", "1.0")
        server.release("other", "1.0")
        yield server


@pytest.fixture
def follower(database: Engine, upstream: Upstream) -> Follower:
    """A farm that wants two projects, and has read their pages and the RSS."""
    with transaction(database) as session:
        for name in ("demo", "other"):
            requests.add(session, Requirement(name), now=clock(session))
    look_at_all(database, upstream, poll_s=1e6)
    made = Follower(database, upstream, WatchSection(rss=True))
    made.turn()
    look_at_all(database, upstream, poll_s=1e6)
    return made


def due(database: Engine) -> set[str]:
    with transaction(database) as session:
        now = clock(session) + timedelta(seconds=1)
        return set(session.scalars(select(Project.name).where(Project.check_at <= now)))


def note(database: Engine) -> str:
    with transaction(database) as session:
        return session.get_one(Mark, "feed").note


def test_a_project_in_it_is_looked_at_out_of_its_turn(index: FakePyPI, database: Engine, follower: Follower) -> None:
    assert due(database) == set()
    index.release("demo", "2.0")

    assert follower.turn() == 1

    assert due(database) == {"demo"}
    assert note(database) == "projects (woken by RSS)"
    assert not follower.tells_events  # every page has its turn still


def test_each_entry_wakes_once(index: FakePyPI, upstream: Upstream, database: Engine, follower: Follower) -> None:
    index.release("demo", "2.0")
    follower.turn()
    look_at_all(database, upstream, poll_s=1e6)
    index.release("other", "2.0")

    assert follower.turn() == 1
    assert due(database) == {"other"}


def test_names_that_the_farm_does_not_want_and_those_that_are_none_wake_nothing(
    index: FakePyPI, database: Engine, follower: Follower
) -> None:
    index.release("stranger", "1.0")
    titles = b"<item><title>../etc 1</title></item><item/><item><title>stranger 2</title></item>"
    index.rss = b"<rss><channel>" + titles + b"</channel></rss>"

    assert follower.turn() == 0
    assert due(database) == set()


@pytest.mark.parametrize(
    "answer",
    [
        b"<html><body>Sign in</body></html>",
        b"<rss><channel>",
        b'<!DOCTYPE rss [<!ENTITY a "aa">]><rss><channel><item><title>&a;</title></item></channel></rss>',
        b"\x00\xff",
        b"<rss>" + b"<x>" * 400_000,
    ],
)
def test_what_is_no_rss_is_said_and_the_pages_are_read_in_their_turn(
    index: FakePyPI, database: Engine, follower: Follower, answer: bytes
) -> None:
    index.rss = answer

    assert follower.turn() == 0
    assert "rss" in note(database).lower()
    assert "woken" not in note(database)

    index.rss = None
    index.release("demo", "2.0")
    assert follower.turn() == 1


def test_an_upstream_without_it_is_not_asked_again_each_minute(
    index: FakePyPI, database: Engine, follower: Follower
) -> None:
    index.rss = b""
    follower.turn()
    before = len(index.requests)

    assert follower.turn() == 0

    assert note(database) == "projects (the upstream has no RSS: it answers 404)"
    assert len(index.requests) == before


def test_it_is_asked_for_only_where_the_settings_say_so(index: FakePyPI, upstream: Upstream, database: Engine) -> None:
    Follower(database, upstream, WatchSection()).turn()

    assert [path for path, _ in index.requests if path.startswith("/rss/")] == []


def test_no_more_than_a_thousand_entries_are_kept(index: FakePyPI, upstream: Upstream) -> None:
    items = "".join(f"<item><title>p{number} 1</title></item>" for number in range(5000))
    index.rss = f"<rss><channel>{items}</channel></rss>".encode()

    assert len(WakeUp(upstream).news()) == 1000


def test_an_upstream_that_is_away_is_an_error_of_the_upstream(index: FakePyPI, upstream: Upstream) -> None:
    index.fail("/rss/updates.xml", status=500)

    with pytest.raises(UpstreamError, match="answers 500"):
        WakeUp(upstream).news()
