"""A sender over a real database, and receivers on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine

from master.webhooks.sender import Letterhead, Sender
from tests.receiver import Receiver


@dataclass(slots=True, kw_only=True)
class Office:
    """A sender whose turns are taken by hand."""

    sender: Sender

    def turn(self, *, timeout_s: float = 20.0) -> None:
        """One turn, to the end of all that it began."""
        self.sender.turn()
        deadline = time.monotonic() + timeout_s
        for thread in list(self.sender._at_work.values()):
            thread.join(max(deadline - time.monotonic(), 0))
            assert not thread.is_alive()


Offices = Callable[..., Office]


@pytest.fixture
def office(database: Engine, snapshot: Engine) -> Iterator[Offices]:
    made: list[Office] = []

    def open_one(*, private: bool = True, limit_s: float = 15.0, **bounds: int) -> Office:
        letterhead = Letterhead(farm="home", address="https://wheels.example", private=private, limit_s=limit_s)
        made.append(Office(sender=Sender(database=database, snapshot=snapshot, letterhead=letterhead, **bounds)))
        return made[-1]

    yield open_one
    for item in made:
        item.sender.stop()
        for thread in item.sender._at_work.values():
            thread.join(20)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made
