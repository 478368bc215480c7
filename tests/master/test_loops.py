from __future__ import annotations

import queue
import threading

from master.loops import Loop, Loops
from schema.errors import UnavailableError


def test_a_loop_goes_on_after_a_fault() -> None:
    turns: queue.Queue[int] = queue.Queue()
    faults = iter([UnavailableError("the database does not answer"), RuntimeError("a bug")])

    def action() -> None:
        turns.put(1)
        for fault in faults:
            raise fault

    loop = Loop("test", action, pause_s=0.01)
    loop.start()
    for _ in range(4):
        loop.wake()
        turns.get(timeout=20)
    loop.stop()
    loop.join()


def test_waking_a_loop_runs_it_at_once() -> None:
    turned = threading.Event()
    loop = Loop("test", turned.set, pause_s=3600)
    loop.start()
    assert turned.wait(5)

    turned.clear()
    loop.wake()

    assert turned.wait(5)
    loop.stop()
    loop.join()


def test_no_turn_begins_while_none_may() -> None:
    may, asked, turns = threading.Event(), threading.Event(), threading.Event()

    def may_run() -> bool:
        asked.set()
        return may.is_set()

    loops = Loops(may_run=may_run)
    loops.add("demo", turns.set, pause_s=0.01)
    loops.start()

    asked.wait()
    before = turns.is_set()
    may.set()
    turns.wait()
    loops.stop()

    assert not before


def test_loops_that_were_never_started_can_be_stopped() -> None:
    loops = Loops()
    loops.add("demo", lambda: None, pause_s=1.0)

    loops.stop()
