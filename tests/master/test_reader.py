"""A backlog of pages is read by a process of its own: the same comes of it, and one request is made at a time."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from sqlalchemy import Engine, select

from master import requests, watch
from master.fetching import Due
from master.reader import Reader, ReaderError
from master.upstream import NotModified, Page, Upstream
from schema.db.models import Project, UpstreamFile
from schema.db.session import transaction
from schema.errors import UnavailableError, UnknownProjectError, UpstreamError
from schema.settings import Settings, load
from tests.upstream import FakeUpstream

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
NAMES = tuple(f"p{number}" for number in range(8))


@pytest.fixture
def index() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        for name in NAMES:
            server.add_file(name, filename=f"{name}-1.0.tar.gz")
        yield server


@pytest.fixture
def settings(index: FakeUpstream, tmp_path: Path) -> Settings:
    file = tmp_path / "farm.toml"
    file.write_text(f'[upstream]\nindex_url = "{index.url}"\ntimeout_s = 3.0\n')
    return load(file)


@pytest.fixture
def upstream(settings: Settings) -> Iterator[Upstream]:
    with Upstream.from_settings(settings) as client:
        yield client


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    with closing(Reader(settings)) as made:
        yield made


@pytest.fixture
def wanted(database: Engine) -> Engine:
    """A farm in which somebody wants all of them."""
    with transaction(database) as session:
        for name in NAMES:
            requests.add(session, Requirement(name), now=NOW)
    return database


def due(name: str, etag: str = "") -> Due:
    return Due(id=int(name[1:]), name=NormalizedName(name), etag=etag, last_modified="")


def look(database: Engine, upstream: Upstream, reader: Reader, *, stop: threading.Event | None = None) -> int:
    """With a backlog wherever more than two are due."""
    return watch.look_at_due(database, upstream, poll_s=600, reader=reader, limit=2, stop=stop)


def files(database: Engine) -> set[str]:
    with transaction(database) as session:
        return set(session.scalars(select(UpstreamFile.filename)))


def test_whatever_the_upstream_answers_comes_from_the_reader_as_it_would_from_here(
    index: FakeUpstream, upstream: Upstream, reader: Reader
) -> None:
    index.fail("p1", status=500)
    index.fail("p2", body=b"[", content_type="application/vnd.pypi.simple.v1+json")
    page = upstream.page(NormalizedName("p0"))
    assert isinstance(page, Page)

    reader.ask([due("p0"), due("p0", page.etag), due("p1"), due("p2"), due("p99")])
    here = []
    for name in ("p1", "p2", "p99"):
        with pytest.raises(UpstreamError) as caught:
            upstream.page(NormalizedName(name))
        here.append(str(caught.value))
    batch = reader.answer()
    seen = batch.seen()

    assert (batch.looked, batch.rest_s) == (4, 0)
    assert seen[0] == NotModified(name=NormalizedName("p0"))  # the last answer of that project
    assert [str(seen[number]) for number in (1, 2, 99)] == here
    assert isinstance(seen[99], UnknownProjectError)
    reader.ask([due("p0")])
    assert reader.answer().seen() == {0: page}


def test_a_backlog_is_read_whole_in_one_round(
    index: FakeUpstream, upstream: Upstream, reader: Reader, wanted: Engine
) -> None:
    assert look(wanted, upstream, reader) == len(NAMES)

    assert files(wanted) == {f"{name}-1.0.tar.gz" for name in NAMES}
    agents = [headers["user-agent"] for _, headers in index.requests]
    assert len(agents) == len(NAMES)
    assert set(agents) == {agents[0]}
    assert agents[0].startswith("wheelfarm/")
    assert look(wanted, upstream, reader) == 0


def test_without_a_backlog_there_is_no_other_process(upstream: Upstream, reader: Reader, wanted: Engine) -> None:
    assert look(wanted, upstream, reader) == len(NAMES)
    begun = reader.pid
    with transaction(wanted) as session:
        session.scalars(select(Project)).first().check_at = NOW  # type: ignore[union-attr]

    assert look(wanted, upstream, reader) == 1

    assert begun is not None
    assert not Path(f"/proc/{begun}").exists()


def test_the_master_asks_nothing_while_it_lends_the_upstream(upstream: Upstream) -> None:
    answered = threading.Event()

    def ask() -> None:
        upstream.page(NormalizedName("p0"))
        answered.set()

    with upstream.lent():
        asking = threading.Thread(target=ask)
        asking.start()
        assert not answered.wait(0.3)
    asking.join()
    assert answered.is_set()


def test_a_rest_that_the_reader_is_asked_for_is_kept_by_the_master(
    index: FakeUpstream, upstream: Upstream, reader: Reader, wanted: Engine
) -> None:
    index.fail("p0", status=429, headers={"Retry-After": "60"})

    assert look(wanted, upstream, reader) == 1  # it comes first, and none is asked for after it

    assert 50 < upstream.rest_s <= 60
    assert look(wanted, upstream, reader) == 0


def test_a_reader_that_is_killed_costs_nothing_but_its_speed(
    upstream: Upstream, reader: Reader, wanted: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    reader.ask([due("p0")])
    reader.answer()
    kill(reader)

    assert look(wanted, upstream, reader) == 2  # here, one round's worth
    assert "the pages are read here" in caplog.text
    assert look(wanted, upstream, reader) == len(NAMES) - 2  # by another process


def test_an_answer_that_never_comes_is_an_error(reader: Reader) -> None:
    reader.ask([due("p0")])
    kill(reader)

    with pytest.raises(ReaderError, match="ended"):
        reader.answer()


def test_a_reader_that_was_stopped_is_given_up(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("master.reader._GRACE_S", -2.9)  # a tenth of a second, with the page's own three
    reader.ask([due("p0")])
    stopped = reader.pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)

    with pytest.raises(ReaderError, match="does not answer"):
        reader.answer()
    assert not Path(f"/proc/{stopped}").exists()


def test_a_round_that_is_told_to_end_asks_nothing(
    index: FakeUpstream, upstream: Upstream, reader: Reader, wanted: Engine
) -> None:
    stop = threading.Event()
    stop.set()

    assert look(wanted, upstream, reader, stop=stop) == 0
    assert index.requests == []


def test_where_nothing_can_be_kept_the_reader_is_not_left_with_an_answer(
    upstream: Upstream, reader: Reader, wanted: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.watch._AT_ONCE", 3)

    def away(*_: object, **__: object) -> int:
        raise UnavailableError("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr("master.readings.take", away)
        with pytest.raises(UnavailableError):
            look(wanted, upstream, reader)
    assert reader.pid is None

    assert look(wanted, upstream, reader) == len(NAMES)


def test_it_ends_with_the_master(settings: Settings) -> None:
    process = subprocess.Popen([sys.executable, "-m", "master.reader"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    pickle.dump(settings, process.stdin)
    process.stdin.flush()

    process.stdin.close()

    assert process.wait(20) == 0
    process.stdout.close()  # type: ignore[union-attr]


def kill(reader: Reader) -> None:
    assert reader.pid is not None
    os.kill(reader.pid, signal.SIGKILL)
