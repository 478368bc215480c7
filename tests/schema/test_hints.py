"""What somebody sends who may push to a queue, and means harm: it stops nothing, and reaches no other queue."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from master import tasks
from schema import wire
from schema.jobs import Heartbeat, Progress
from tests import rows

Envelope = dict[str, Any]

_BEAT = rows.heartbeat("a").to_json()
# What the sender would have the master push to another node's queue.
_JOB = {
    "task": wire.BUILD_WHEEL,
    "args": [{"evil": 1}],
    "kwargs": {},
    "options": {"queue": "node.b"},
    "subtask_type": None,
    "immutable": True,
    "chord_size": None,
}


def _body(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def _envelope(
    arguments: list[Any], embed: dict[str, Any] | None = None, *, task: Any = wire.HEARTBEAT, **headers: Any
) -> Envelope:
    """As kombu writes it."""
    return {
        "body": _body([arguments, {}, embed or {}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": "1", **headers},
        "properties": {
            "correlation_id": "1",
            "reply_to": "x",
            "delivery_info": {"exchange": "", "routing_key": "master"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "1",
        },
    }


_GOOD = _envelope([_BEAT])
_BOMB = base64.b64encode(zlib.compress(b"[" * 1_000_000)).decode()

_SEND_MORE = {
    "a chain": _envelope([_BEAT], {"chain": [_JOB]}),
    "a link": _envelope([_BEAT], {"callbacks": [_JOB]}),
    "a link of a task that fails": _envelope([_BEAT, 1, 2], {"errbacks": [_JOB]}),
    "a link of one that fails early": _envelope([_BEAT], {"errbacks": [_JOB], "delivery_info": "x"}),
    "a chain among the headers": _envelope([_BEAT], chain=[_JOB]),
    "a chord": _envelope([_BEAT], {"chord": _JOB}, group="g"),
    "a group": _envelope([[_JOB], ["g", [["r", None]]], "g", []], task="celery.group"),
    "a map": _envelope([_JOB, [1]], task="celery.map"),
    "a time that cannot be": _envelope([_BEAT], {"errbacks": [_JOB]}, eta="9999-12-31T23:59:59.999999-23:59"),
    "a time that is none": _envelope([_BEAT], {"errbacks": [_JOB]}, eta=5),
    "a time that is over": _envelope([_BEAT], {"errbacks": [_JOB]}, expires="2000-01-01T00:00:00"),
}
_STOP_THE_QUEUE: dict[str, Any] = {
    "no number": {**_GOOD, "headers": {"task": wire.HEARTBEAT}},
    "no number and no known task": {**_GOOD, "headers": {"task": "x"}},
    "an unknown task": _envelope([_BEAT], task="x"),
    "a task that is a list": _envelope([_BEAT], task=[1]),
    "no headers": {**_GOOD, "headers": None},
    "headers that are a list": {**_GOOD, "headers": [1]},
    "no properties": {key: value for key, value in _GOOD.items() if key != "properties"},
    "no tag": {**_GOOD, "properties": {"body_encoding": "base64"}},
    "an unknown encoding": {**_GOOD, "properties": {"body_encoding": "x", "delivery_tag": "1"}},
    "no body": {**_GOOD, "body": None},
    "a body that is no base64": {**_GOOD, "body": "%%%"},
    "a body that is a number": {**_GOOD, "body": _body(5)},
    "a body that is an object": {**_GOOD, "body": _body({"args": [1], "task": "x"})},
    "a body that is deep": {**_GOOD, "body": base64.b64encode(b"[" * 100_000).decode()},
    "a pickle": {**_GOOD, "content-type": "application/x-python-serialize"},
    "a bomb": {**_envelope([], compression="gzip"), "body": _BOMB},
    "a limit that is none": _envelope([_BEAT], timelimit="x"),
    "a list": [1, 2],
    "a number": 5,
    "nothing": None,
}


class _Ears:
    """Hears until a heartbeat says that it is the last."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_heartbeat(self, message: Heartbeat) -> None:
        self.heard.append(message.version)
        if message.version == "last":
            wire.stop_working()

    def on_progress(self, message: Progress) -> None: ...


@pytest.fixture
def master(redis_url: str) -> tuple[Celery, _Ears]:
    app, ears = wire.celery_app(redis_url, name="test"), _Ears()
    tasks.register(app, ears)
    return app, ears


@pytest.fixture
def lists(redis_url: str) -> Callable[[], dict[str, int]]:
    def lengths() -> dict[str, int]:
        with redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://"), decode_responses=True) as client:
            return {key: client.llen(key) for key in client.keys("*")}

    return lengths


def _push(redis_url: str, *messages: str) -> None:
    with redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://")) as client:
        client.lpush(wire.key(wire.MASTER_QUEUE), *messages)


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize("kind", [_SEND_MORE, _STOP_THE_QUEUE], ids=["sends more", "stops the queue"])
def test_a_hostile_message_reaches_no_other_queue_and_does_not_keep_the_next_one_away(
    redis_url: str, master: tuple[Celery, _Ears], lists: Callable[[], dict[str, int]], kind: dict[str, Any]
) -> None:
    app, ears = master
    _push(redis_url, *map(json.dumps, kind.values()), "no JSON", "\ud800".encode("utf-8", "surrogatepass").hex(), "")
    _push(redis_url, json.dumps(_envelope([{**_BEAT, "version": "last"}])))

    wire.work(app, name="master", queues=[wire.MASTER_QUEUE], threads=1)

    assert ears.heard[-1] == "last"
    assert lists() == {}


@pytest.mark.usefixtures("own_signals")
def test_what_a_message_says_beyond_its_argument_is_not_heard(redis_url: str, master: tuple[Celery, _Ears]) -> None:
    app, ears = master
    _push(redis_url, json.dumps(_SEND_MORE["a chain"]), json.dumps(_envelope([{**_BEAT, "version": "last"}])))

    wire.work(app, name="master", queues=[wire.MASTER_QUEUE], threads=1)

    assert ears.heard == [_BEAT["version"], "last"]
    assert sorted(app.tasks) == [wire.HEARTBEAT, wire.PROGRESS]
