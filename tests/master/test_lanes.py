"""A node that is slow or dead keeps waiting nobody but itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from master.lanes import Lanes
from schema.errors import StoreError, UnreachableError
from schema.jobs import Lease
from schema.names import NodeName

SLOW, QUICK = NodeName("slow"), NodeName("quick")


def _leases(count: int) -> list[Lease]:
    return [Lease(build_id=number, fence=1) for number in range(count)]


class Desk:
    """Takes at once what is of the quick node, and never, until told, what is of the slow one."""

    def __init__(self) -> None:
        self.release, self._lock = threading.Event(), threading.Lock()
        self.under_way, self.most_under_way = 0, 0
        self.done: list[tuple[NodeName, Lease]] = []

    def take(self, node: NodeName, lease: Lease) -> None:
        if node == SLOW:
            with self._lock:
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
            self.release.wait(20)
            with self._lock:
                self.under_way -= 1
        with self._lock:
            self.done.append((node, lease))


def _turn_until(lanes: Lanes, condition: Callable[[], bool]) -> None:
    for _ in range(500):
        lanes.turn(wait_s=0.01)
        if condition():
            return
    pytest.fail("it did not come to that")


def test_while_a_slow_node_holds_its_two_the_results_of_others_are_taken() -> None:
    desk = Desk()
    lanes = Lanes(desk.take)
    before = threading.active_count()
    for lease in _leases(40):
        lanes.put(SLOW, lease)
    lanes.turn(wait_s=0)
    for lease in _leases(20):
        lanes.put(QUICK, lease)

    _turn_until(lanes, lambda: len(desk.done) == 20)

    assert {node for node, _ in desk.done} == {QUICK}
    assert (desk.most_under_way, len(lanes), threading.active_count() - before) == (2, 38, 2)
    desk.release.set()
    _turn_until(lanes, lambda: len(desk.done) == 60)
    assert (desk.most_under_way, lanes.settle(5)) == (2, True)


def test_what_waits_or_is_being_taken_is_not_taken_twice() -> None:
    desk = Desk()
    lanes = Lanes(desk.take)
    [lease] = _leases(1)
    lanes.put(SLOW, lease)
    lanes.put(SLOW, lease)
    lanes.turn(wait_s=0)
    lanes.put(SLOW, lease)

    assert len(lanes) == 0
    desk.release.set()
    assert lanes.settle(5)
    lanes.turn(wait_s=0)
    assert desk.done == [(SLOW, lease)]


def test_a_node_that_does_not_answer_rests_longer_each_time_and_its_result_waits() -> None:
    now_s = 1000.0
    tries: list[float] = []

    def take(_node: NodeName, _lease: Lease) -> None:
        tries.append(now_s)
        if len(tries) < 5:
            raise UnreachableError("no route to host")

    lanes = Lanes(take, monotonic_s=lambda: now_s)
    [lease] = _leases(1)
    lanes.put(SLOW, lease)
    while now_s < 1100:
        lanes.turn(wait_s=0)
        assert lanes.settle(5)
        now_s += 1

    assert tries == [1000, 1005, 1015, 1035, 1075]
    assert len(lanes) == 0


def test_of_a_node_that_does_not_answer_the_same_results_are_tried_each_time() -> None:
    """What was never begun with counts as being built, so the node soon has no free slot, and gets nothing more."""
    now_s = 1000.0
    tried: set[Lease] = set()

    def take(_node: NodeName, lease: Lease) -> None:
        tried.add(lease)
        raise UnreachableError("no route to host")

    lanes = Lanes(take, monotonic_s=lambda: now_s)
    leases = _leases(6)
    for lease in leases:
        lanes.put(SLOW, lease)
    while now_s < 1100:
        lanes.turn(wait_s=0)
        assert lanes.settle(5)
        now_s += 1

    assert tried == set(leases[:2])


def test_what_fails_otherwise_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    def take(_node: NodeName, lease: Lease) -> None:
        raise (StoreError("the store is full") if lease.build_id else ZeroDivisionError)

    lanes = Lanes(take)
    for lease in _leases(2):
        lanes.put(QUICK, lease)

    with caplog.at_level(logging.WARNING):
        lanes.turn(wait_s=0)
        assert lanes.settle(5)

    assert len(lanes) == 0
    assert "build 1: its result stays with node quick for now: the store is full" in caplog.text
    assert "ZeroDivisionError" in caplog.text
