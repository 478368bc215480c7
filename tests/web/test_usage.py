"""What an attempt used as time went is drawn as its node told it, whatever that was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schema.errors import WireError
from schema.jobs import MOST_USAGE, BuildResult, Lease, Outcome, Step
from schema.names import NodeName, Sha256
from web import plots, usage

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
STEPS = [Step(name="fetch", started_at=AT), Step(name="build", started_at=AT + timedelta(seconds=10))]
RESULT = BuildResult(
    node=NodeName("pi4"),
    lease=Lease(build_id=7, fence=1),
    outcome=Outcome.CANCELLED,
    started_at=AT,
    finished_at=AT,
    steps=(),
    log_sha256=Sha256("0" * 64),
)


def _point(at_s: Any, cpu_s: Any, memory_bytes: Any) -> dict[str, Any]:
    return {"at_s": at_s, "cpu_s": cpu_s, "memory_bytes": memory_bytes}


def test_memory_and_processors_are_drawn_and_told_by_step() -> None:
    kept = [_point(10, 1.0, 50_000_000), _point(20, 31.0, 400_000_000), _point(40, 36.0, 100_000_000)]

    memory, processors = usage.plots(usage.points(kept), STEPS)

    assert (memory.title, memory.most, memory.labels) == ("Memory, in MB", 400, ("0 s", "40.0 s"))
    assert memory.description == "build: 400 MB, the most."
    assert [(block.x, block.width, block.height) for block in memory.blocks] == [
        (0.0, 140.0, 15.0),
        (140.0, 140.0, 120.0),
        (280.0, 280.0, 30.0),
    ]
    assert [list(row) for row in memory.rows] == [
        ["fetch: 10.0 s", "50 MB"],
        ["build: 20.0 s", "400 MB"],
        ["build: 40.0 s", "100 MB"],
    ]
    assert processors.most == 3
    assert [row[1] for row in processors.rows] == ["0.10", "3.00", "0.25"]
    assert processors.description == "build: 3.0, the most."


@pytest.mark.parametrize(
    "kept",
    [
        [],
        None,
        {},
        "text",
        [None, 7, "text", {}],
        [_point(0, 0, 0)],
        [_point(-1, 0, 0), _point("1", 0, 0), _point(1, None, 0), _point(1, 0, 0.5), _point(float("nan"), 0, 0)],
        [_point(1e8, 0, 0)],
        [_point(5e-324, 1000, 1)],  # so much in so little time is no number
    ],
    ids=str,
)
def test_where_nothing_or_nonsense_was_told_nothing_is_drawn(kept: Any) -> None:
    assert usage.plots(usage.points(kept), STEPS) == []


def test_points_that_do_not_follow_each_other_as_time_does_are_left_out() -> None:
    kept = [_point(10, 5, 1), _point(5, 6, 1), _point(10, 6, 1), _point(20, 4, 1), _point(30, 9, 2**63 - 1)]

    memory, processors = usage.plots(usage.points(kept), [])

    assert [row[0] for row in memory.rows] == ["10.0 s", "30.0 s"]
    for plot in (memory, processors):
        for block in plot.blocks:
            assert 0 <= block.x <= block.x + block.width <= plots.WIDTH
            assert 0 <= block.y <= block.y + block.height <= plots.HEIGHT + 0.1


def test_a_master_takes_results_with_and_without_and_none_with_more_than_there_can_be() -> None:
    plain = RESULT.to_json()
    del plain["usage"]  # as an older node sends it

    assert BuildResult.from_json(plain).usage == ()
    with pytest.raises(WireError):
        BuildResult.from_json(plain | {"usage": [_point(1, 1, 1)] * (MOST_USAGE + 1)})
