from __future__ import annotations

from dataclasses import dataclass

import pytest

from master.lateness import Lateness
from schema.jobs import Heartbeat
from tests import rows


@dataclass(slots=True)
class Clock:
    """A clock that a test sets."""

    s: float = 5000.0

    def __call__(self) -> float:
        return self.s


def _said(at_s: float, *, boot: str = "b1", node: str = "n1") -> Heartbeat:
    """Said when the test's clock showed *at_s*, by a machine that was started at 4000."""
    return rows.heartbeat(node, boot=boot, uptime_s=at_s - 4000)


def test_what_comes_as_fast_as_ever_is_not_late_and_what_waited_is() -> None:
    clock = Clock()
    lateness = Lateness(clock)

    assert lateness.of(_said(4998)) == 0
    assert lateness.of(_said(4999)) == 0  # faster than the first
    assert lateness.of(_said(4969)) == pytest.approx(30)
    clock.s = 5030
    assert lateness.of(_said(4999)) == pytest.approx(30, abs=0.1)
    assert lateness.of(_said(5029)) == pytest.approx(0, abs=0.1)


def test_a_machine_that_was_started_again_and_another_one_have_clocks_of_their_own() -> None:
    lateness = Lateness(Clock())
    lateness.of(_said(5000))

    assert lateness.of(_said(4100, boot="b2")) == 0
    assert lateness.of(_said(4100, node="n2")) == 0


def test_clocks_that_drift_apart_do_not_make_a_node_late_for_ever() -> None:
    clock = Clock()
    lateness = Lateness(clock)
    lateness.of(_said(5000))

    for day in range(1, 31):
        clock.s = 5000 + day * 86400
        late_s = lateness.of(_said(clock.s - day * 86400 * 100e-6))

        assert late_s < 0.1


def test_a_node_that_does_not_tell_is_taken_to_be_in_time() -> None:
    lateness = Lateness(Clock())

    assert lateness.of(rows.heartbeat()) == lateness.of(rows.heartbeat(uptime_s=1.0)) == 0
