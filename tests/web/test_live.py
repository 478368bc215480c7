"""Streams of events: rendered once for all who listen, at most so many, and ended when the listener goes."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy.orm import Session

from schema.db import migrate
from schema.db.models import Attempt
from schema.db.session import engine, transaction
from schema.settings import Settings, load
from tests import entries
from tests.entries import ago, later
from tests.web import seed
from tests.web.server import Server, settings_file, started
from web.live import MOST_STREAMS, Live


def _taken(stream: Iterator[bytes], events: int) -> list[bytes]:
    return [next(stream) for _ in range(events)]


def test_a_listener_gets_what_is_there_and_then_only_what_changed() -> None:
    news = iter([{"a": "1", "b": "x"}, {"a": "1", "b": "x"}, {"a": "2", "b": "x"}])
    stream = Live(pause_s=0.0).stream("farm", lambda: next(news))
    assert stream is not None

    assert _taken(stream, 3) == [
        b"retry: 15000\n\n",
        b"event: a\ndata: 1\n\nevent: b\ndata: x\n\n",
        b"event: a\ndata: 2\n\n",
    ]


def test_no_text_can_end_an_event_or_begin_another() -> None:
    hostile = "one\n\nevent: evil\rdata: x\u2028id: 7"
    stream = Live().stream("farm", lambda: {"a": hostile})
    assert stream is not None

    assert _taken(stream, 2)[1].decode() == (
        "event: a\ndata: one\ndata: \ndata: event: evil\ndata: data: x\ndata: id: 7\n\n"
    )


def test_what_many_listen_to_is_rendered_once() -> None:
    rendered = []
    live = Live(pause_s=60.0)

    def render() -> dict[str, str]:
        rendered.append(1)
        return {"a": "1"}

    streams = [live.stream("farm", render) for _ in range(10)]
    told = [_taken(stream, 2)[1] for stream in streams if stream is not None]

    assert told == [b"event: a\ndata: 1\n\n"] * 10
    assert len(rendered) == 1


def test_beyond_the_most_nobody_is_let_in_until_one_leaves() -> None:
    live = Live(most=2)
    first, second = live.stream("a", dict), live.stream("a", dict)

    assert live.stream("a", dict) is None
    assert first is not None
    assert second is not None
    first.close()  # type: ignore[attr-defined]
    first.close()  # type: ignore[attr-defined]
    assert live.open == 1
    assert live.stream("a", dict) is not None


def test_what_nobody_listens_to_any_more_is_forgotten() -> None:
    live = Live(pause_s=60.0)
    first, second = (live.stream("build 7", lambda: {"log": "x" * 1000}) for _ in range(2))
    assert first is not None
    assert second is not None
    _taken(first, 2)

    first.close()  # type: ignore[attr-defined]
    kept = dict(live._rendered)
    second.close()  # type: ignore[attr-defined]

    assert list(kept) == ["build 7"]
    assert not live._rendered
    assert not live._rendering
    assert not live._listeners


def test_a_stream_that_fails_or_ends_gives_its_place_back() -> None:
    live = Live(pause_s=0.0, longest_s=0.0)
    ended = live.stream("a", dict)
    failed = Live.stream(live, "b", dict)
    assert ended is not None
    assert failed is not None

    assert list(ended) == [b"retry: 15000\n\n"]
    failed.close()  # type: ignore[attr-defined]
    assert live.open == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file = settings_file(tmp_path_factory.mktemp("live"))
    database = engine(load(file).database_url)
    migrate.upgrade(database)
    with transaction(database) as session:
        entries.node(session, "pi4", platforms=["<script>"], health={"load": 1.5})
    database.dispose()
    with started(file) as running:
        yield running


def _listen(
    server: Server, path: str = "/events?topic=nodes"
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(str(urlsplit(server.url).netloc), timeout=20)
    connection.request("GET", path)
    return connection, connection.getresponse()


@pytest.mark.slow
def test_the_real_server_sends_events_as_they_come(server: Server) -> None:
    connection, answer = _listen(server)

    lines = [answer.readline() for _ in range(3)]

    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert lines == [b"retry: 15000\n", b"\n", b"event: load\n"]
    connection.close()


@pytest.mark.slow
def test_the_real_server_lets_in_only_so_many_and_others_once_those_have_gone(server: Server) -> None:
    listeners = []
    for _ in range(MOST_STREAMS + 2):
        connection, answer = _listen(server)
        listeners.append((connection, answer.status, answer.headers.get("Retry-After")))

    refused = [retry for _, status, retry in listeners if status == 503]
    still = http.client.HTTPConnection(str(urlsplit(server.url).netloc), timeout=20)
    still.request("GET", "/healthz")
    healthy = still.getresponse().status
    still.close()
    for connection, _, _ in listeners:
        connection.close()
    deadline = time.monotonic() + 40
    status = 503
    while status == 503 and time.monotonic() < deadline:
        time.sleep(1)
        connection, answer = _listen(server)
        status = answer.status
        connection.close()

    assert len(refused) >= 2
    assert set(refused) == {"15"}
    assert healthy == 200
    assert status == 200


@pytest.mark.slow
def test_an_unknown_topic_is_404(server: Server) -> None:
    connection, answer = _listen(server, "/events?topic=everything")

    assert answer.status == 404
    connection.close()


@pytest.mark.slow
def test_a_running_build_is_followed_step_by_step_with_the_end_of_its_log(server: Server) -> None:
    settings = load(server.log.with_name("farm.toml"))
    with _database(settings) as session:
        leased: dict[str, Any] = {
            "state": "leased",
            "leased_to": "pi4",
            "leased_at": ago(),
            "lease_until": later(days=1),
        }
        build = entries.build(session, entries.project(session, "followed"), fence=1, **leased)
        entries.attempt(session, build, steps=seed.steps(2, running=True))
    file = settings.logs / str(build.id) / "1.log"
    file.parent.mkdir(parents=True)
    file.write_text("one\n\nevent: evil\ndata: {}\n\n")

    connection, answer = _listen(server, f"/build/{build.id}/events")
    first = _events(answer, 2)
    file.write_text("two\n" * 20_000)
    with _database(settings) as session:
        session.get_one(Attempt, 1).steps = seed.steps(3, running=True)
    second: dict[str, Any] = {}
    while set(second) != {"steps", "log"} or len(second["steps"]["steps"]) < 3:
        second |= _events(answer, 1)
    connection.close()

    assert list(first) == ["steps", "log"]
    assert first["log"] == {"log": "one\n\nevent: evil\ndata: {}\n\n", "whole": True}
    assert first["steps"]["state"] == "leased"
    assert [step["running"] for step in first["steps"]["steps"]] == [False, True]
    assert second["log"]["whole"] is False
    assert len(second["log"]["log"]) <= 32 * 1024


@pytest.mark.slow
def test_of_a_build_that_is_over_or_that_nobody_knows_nothing_is_sent(server: Server) -> None:
    with _database(load(server.log.with_name("farm.toml"))) as session:
        build = entries.build(session, entries.project(session, "over"), state="published")

    over, ended = _listen(server, f"/build/{build.id}/events")
    nobody, unknown = _listen(server, "/build/4711/events")
    over.close()
    nobody.close()

    assert ended.status == 204  # a browser asks no more
    assert unknown.status == 404


def _events(answer: http.client.HTTPResponse, count: int) -> dict[str, Any]:
    """The next *count* events with what they carry."""
    found: dict[str, Any] = {}
    name = ""
    while len(found) < count:
        kind, _, rest = answer.readline().decode().rstrip("\n").partition(": ")
        if kind == "event":
            name = rest
        elif kind == "data":
            found[name] = json.loads(rest)
    return found


@contextmanager
def _database(settings: Settings) -> Iterator[Session]:
    opened = engine(settings.database_url)
    with transaction(opened) as session:
        yield session
    opened.dispose()
