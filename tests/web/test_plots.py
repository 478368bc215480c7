"""What a plot draws is what its table tells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import pytest

from schema.db.hours import Day
from web import plots


def _days(*ended: Mapping[str, int], left: Mapping[int, int] | None = None) -> list[Day]:
    first = date(2026, 11, 1)
    known = left or {}
    return [
        Day(day=first + timedelta(days=place), ended=told, open=known.get(place)) for place, told in enumerate(ended)
    ]


def test_the_blocks_of_a_day_stand_on_each_other_and_the_highest_day_fills_the_picture() -> None:
    plot = plots.ended(_days({"built": 6, "header": 2}, {}, {"built": 3, "timeout": 1}))
    assert plot is not None

    heights = [(block.tone, block.y, block.height) for block in plot.blocks]

    assert plot.most == 8
    assert heights == [
        ("built", 30.0, 90.0),
        ("class-1", 0.0, 30.0),
        ("built", 75.0, 45.0),
        ("class-2", 60.0, 15.0),
    ]
    assert plot.blocks[0].title == "01 Nov: 6 built"
    assert list(plot.head) == ["Day", "built", "header", "timeout"]
    assert [list(row) for row in plot.rows] == [
        ["2026-11-01", "6", "2", "0"],
        ["2026-11-02", "0", "0", "0"],
        ["2026-11-03", "3", "0", "1"],
    ]
    assert plot.description == "9 gave a wheel, 3 failed, most of them of the class header."


def test_rare_classes_are_one_group() -> None:
    plot = plots.ended(_days({name: 10 - place for place, name in enumerate("abcdef")}))
    assert plot is not None

    assert [name for _, name in plot.legend] == ["built", "a", "b", "c", "d", "other failures"]
    assert list(plot.rows[0]) == ["2026-11-01", "0", "10", "9", "8", "7", "11"]


def test_where_nothing_ended_there_is_no_plot() -> None:
    assert plots.ended(_days({}, {})) is None
    assert plots.left(_days({}, {}), now=0, empty_in_s=None) is None


@pytest.mark.parametrize(
    ("now", "empty_in_s", "said", "lines"),
    [
        (100, 2 * 86400.0, "At the rate of the last day it is empty in about 2 d, if nothing more is asked for.", 2),
        (100, None, "Nobody can tell when it will be empty: nothing ended in the last day.", 1),
        (0, None, "Nothing is left to do.", 1),
        (5_000_000, 900 * 86400.0, "it is empty in about 900 d", 2),
    ],
)
def test_the_queue_goes_on_as_a_forecast(now: int, empty_in_s: float | None, said: str, lines: int) -> None:
    plot = plots.left(_days({}, {}, {}, left={0: 50, 1: 200}), now=now, empty_in_s=empty_in_s)
    assert plot is not None

    assert said in plot.description
    assert len(plot.lines) == lines
    assert [list(row) for row in plot.rows] == [
        ["2026-11-01", "50"],
        ["2026-11-02", "200"],
        ["2026-11-03", f"{now:,}"],
    ]
    for line in plot.lines:
        for point in line.points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= plots.WIDTH
            assert 0 <= y <= plots.HEIGHT
