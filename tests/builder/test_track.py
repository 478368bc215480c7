"""What an attempt uses is noted as time goes, within bounds however long it takes."""

from __future__ import annotations

import time

import pytest

from builder.track import Track
from schema.jobs import MOST_USAGE


def test_a_point_tells_the_processor_time_until_then_and_the_most_memory_since_the_one_before() -> None:
    track = Track(pause_s=1000.0)
    for cpu_s, memory_bytes in ((0.5, 10), (1.0, 70), (1.5, 30)):
        track.note(cpu_s, memory_bytes)
    assert track.points == []

    track.note(2.0, 20, last=True)
    track.note(0.25, 5, last=True)

    assert [(point.cpu_s, point.memory_bytes) for point in track.points] == [(2.0, 70), (2.25, 5)]
    assert 0 <= track.points[0].at_s <= track.points[1].at_s


def test_the_longer_it_takes_the_farther_apart_the_points_are() -> None:
    track = Track(began=time.monotonic() - 1e6, pause_s=0.0001, most=8)
    for number in range(100):
        track.began -= 1  # a second passes
        track.note(float(number), 1000 - number)

    points = track.points
    assert len(points) <= 8
    assert track.pause_s > 0.0001
    assert [point.cpu_s for point in points] == sorted(point.cpu_s for point in points)
    assert points[0].memory_bytes == 1000
    assert points[-1].cpu_s >= 98 - 16


def test_points_are_as_many_as_a_master_takes_and_no_more() -> None:
    track = Track(began=time.monotonic() - 1e6, pause_s=0.0)
    for number in range(3 * MOST_USAGE):
        track.began -= 1
        track.note(float(number), 1)

    assert len(track.points) <= MOST_USAGE
    assert track.points[-1].at_s == pytest.approx(1e6 + 3 * MOST_USAGE, abs=30)
