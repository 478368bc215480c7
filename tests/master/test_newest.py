from __future__ import annotations

from master import newest
from master.newest import Newest
from tests import rows


def test_of_each_node_the_newest_waits_and_who_waits_longest_is_first() -> None:
    waiting = Newest()
    for name, slots in (("n1", 1), ("n2", 2), ("n1", 3)):
        waiting.put(rows.heartbeat(name, slots=slots))

    assert [(item.node, item.slots) for item in waiting.take()] == [("n1", 3), ("n2", 2)]
    assert waiting.take() == []


def test_one_that_was_said_earlier_and_comes_later_changes_nothing() -> None:
    waiting = Newest()
    waiting.put(rows.heartbeat(slots=2, boot="b1", uptime_s=20.0))
    waiting.put(rows.heartbeat(slots=1, boot="b1", uptime_s=19.0))

    assert [item.slots for item in waiting.take()] == [2]


def test_a_machine_that_was_started_again_is_heard_although_it_is_up_for_less() -> None:
    waiting = Newest()
    waiting.put(rows.heartbeat(slots=1, boot="b1", uptime_s=9000.0))
    waiting.put(rows.heartbeat(slots=2, boot="b2", uptime_s=1.0))

    assert [item.slots for item in waiting.take()] == [2]


def test_names_of_any_number_of_nodes_do_not_fill_the_memory() -> None:
    waiting = Newest()
    for number in range(newest._MOST_NODES + 5):
        waiting.put(rows.heartbeat(f"n{number}"))
    waiting.put(rows.heartbeat("n0", slots=7))

    taken = waiting.take()

    assert len(taken) == newest._MOST_NODES
    assert taken[0].slots == 7
