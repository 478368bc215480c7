"""A Redis that does not answer is said, and no node is blamed for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from master.hearing import Hearing, note_of
from master.keep import watchdog
from master.post import Post
from schema import wire
from schema.db.session import transaction
from schema.errors import UnavailableError
from schema.sections import AlarmsSection


@dataclass(frozen=True)
class Redis:
    """The real one, at an address that can be taken away and given back."""

    server: Path
    socket: Path

    @property
    def reach(self) -> Callable[[], None]:
        return Post(wire.celery_app(f"redis+socket://{self.socket}", name="hearing")).reach

    def come(self) -> None:
        self.socket.symlink_to(self.server)

    def go(self) -> None:
        self.socket.unlink()


@pytest.fixture
def redis(redis_url: str, tmp_path: Path) -> Redis:
    made = Redis(Path(redis_url.removeprefix("redis+socket://")), tmp_path / "redis")
    made.come()
    return made


def note(database: Engine) -> str:
    with transaction(database) as session:
        return note_of(session)


def alarms(database: Engine) -> list[str]:
    with transaction(database) as session:
        return [alarm.name for alarm in watchdog.look(session, AlarmsSection())]


def test_it_is_said_while_it_lasts_and_is_an_alarm(database: Engine, redis: Redis) -> None:
    hearing = Hearing(database, redis.reach, patience_s=0.0)
    assert hearing.look()
    assert (note(database), alarms(database)) == ("", [])

    redis.go()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            hearing.look()
    assert "Redis does not answer the master since 20" in note(database)
    assert alarms(database) == ["redis-away"]

    redis.come()
    assert hearing.look()
    assert note(database) == ""
    assert alarms(database) == ["redis-away"]  # which ended


def test_nodes_have_time_to_be_heard_again(database: Engine, redis: Redis) -> None:
    hearing = Hearing(database, redis.reach, patience_s=1e6)

    assert not hearing.look()  # a master that was down could not hear either


def test_what_a_master_said_that_ended_meanwhile_is_taken_back_by_the_next(database: Engine, redis: Redis) -> None:
    redis.go()
    with pytest.raises(UnavailableError):
        Hearing(database, redis.reach, patience_s=0.0).look()
    redis.come()

    Hearing(database, redis.reach, patience_s=0.0).look()

    assert note(database) == ""
