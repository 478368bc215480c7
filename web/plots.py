"""Plots as plain numbers: what a template draws as SVG, and tells in a table beside it.

Coordinates are in the units of the picture's ``viewBox``, 0 0 ``WIDTH`` ``HEIGHT``, from the upper left corner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from typing import Final

from schema.db.hours import BUILT, Day
from web.shown import roughly

WIDTH: Final = 560
HEIGHT: Final = 120

_CLASSES = 4  # that have a colour of their own; what is rarer is one group
_OTHERS = "other failures"
_GAP = 0.25  # of a day's width
_AHEAD_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A filled rectangle. tone: the class of its colour; title: what it stands for, in words."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """points: as SVG writes them; ahead: a forecast, which is drawn dashed."""

    points: str
    ahead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What a picture and its table show.

    title, description: for those who do not see it; most: the value at its upper edge
    legend: tone and name of what it shows; labels: under its left and right edge; head, rows: the same as a table
    """

    title: str
    description: str
    most: int
    labels: tuple[str, str]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    legend: Sequence[tuple[str, str]] = ()
    blocks: Sequence[Block] = ()
    lines: Sequence[Line] = ()


def ended(days: Sequence[Day]) -> Plot | None:
    """What ended on each day: built, and failed by class, one on the other; None where nothing did."""
    sums = Counter[str]()
    for day in days:
        sums.update(day.ended)
    if not sums:
        return None
    classes = [name for name, _ in sums.most_common() if name != BUILT]
    named = classes[:_CLASSES]
    kinds = [BUILT, *named, *([_OTHERS] if len(classes) > _CLASSES else [])]
    table = [_grouped(day, kinds) for day in days]
    most, width = max(sum(row) for row in table), WIDTH / len(days)
    built, failed = sums[BUILT], sum(sums.values()) - sums[BUILT]
    return Plot(
        title=f"Attempts that ended in the last {len(days)} days",
        description=f"{built:,} gave a wheel, {failed:,} failed"
        + (f", most of them of the class {classes[0]}." if classes else "."),
        most=most,
        labels=(f"{days[0].day:%d %b}", "today"),
        legend=[(_tone(place), _name(kind)) for place, kind in enumerate(kinds)],
        blocks=[
            block
            for place, day in enumerate(days)
            for block in _stack(place * width, day, kinds, width=width, most=most)
        ],
        head=["Day", *map(_name, kinds)],
        rows=[[f"{day.day:%Y-%m-%d}", *(f"{value:,}" for value in row)] for day, row in zip(days, table, strict=True)],
    )


def fetched(days: Mapping[date, int]) -> Plot | None:
    """Downloads on each day, the first one first; None where there was none."""
    most, total = max(days.values(), default=0), sum(days.values())
    if not total:
        return None
    width = WIDTH / len(days)
    return Plot(
        title=f"Downloads from this farm in {len(days)} days",
        description=f"{total:,} in all, {most:,} on the busiest day.",
        most=most,
        labels=(f"{min(days):%d %b}", "today"),
        blocks=[
            Block(
                x=round((place + _GAP / 2) * width, 1),
                y=round(HEIGHT * (1 - count / most), 1),
                width=round(width * (1 - _GAP), 1),
                height=round(HEIGHT * count / most, 1),
                tone=_tone(0),
                title=f"{day:%d %b}: {count:,}",
            )
            for place, (day, count) in enumerate(days.items())
            if count
        ],
        head=["Day", "Downloads"],
        rows=[[f"{day:%Y-%m-%d}", f"{count:,}"] for day, count in days.items()],
    )


def left(days: Sequence[Day], *, now: int, empty_in_s: float | None) -> Plot | None:
    """How much was left to do at the end of each day, and how that goes on at the rate of the last day.

    now: left to do at this moment; empty_in_s: None where nobody can tell; None where nothing was ever noted
    """
    known = [(place, day.open) for place, day in enumerate(days[:-1]) if day.open is not None]
    today = len(days) - 1
    points = [*known, (today, now)]
    if not known and not now:
        return None
    most = max(value for _, value in points) or 1
    slots = len(days) - 1 + _AHEAD_DAYS
    lines = [Line(points=_points(points, slots, most))]
    told = "Nobody can tell when it will be empty: nothing ended in the last day."
    if not now:
        told = "Nothing is left to do."
    elif empty_in_s is not None:
        end = min(empty_in_s / 86400, _AHEAD_DAYS)
        rest = round(now * (1 - end / (empty_in_s / 86400)))
        lines.append(Line(points=_points([(today, now), (today + end, rest)], slots, most), ahead=True))
        told = f"At the rate of the last day it is empty in about {roughly(empty_in_s)}, if nothing more is asked for."
    return Plot(
        title="Builds left to do",
        description=f"{now:,} now. {told}",
        most=most,
        labels=(f"{days[0].day:%d %b}", f"in {_AHEAD_DAYS} days"),
        lines=lines,
        head=["Day", "Left to do"],
        rows=[[f"{days[place].day:%Y-%m-%d}", f"{value:,}"] for place, value in points],
    )


def _grouped(day: Day, kinds: Sequence[str]) -> list[int]:
    own = [day.ended.get(kind, 0) for kind in kinds if kind != _OTHERS]
    return [*own, sum(day.ended.values()) - sum(own)] if _OTHERS in kinds else own


def _stack(left: float, day: Day, kinds: Sequence[str], *, width: float, most: int) -> list[Block]:
    values = _grouped(day, kinds)
    return [
        Block(
            x=round(left + _GAP / 2 * width, 1),
            y=round(HEIGHT * (1 - top / most), 1),
            width=round(width * (1 - _GAP), 1),
            height=round(HEIGHT * value / most, 1),
            tone=_tone(place),
            title=f"{day.day:%d %b}: {value:,} {_name(kind)}",
        )
        for place, (kind, value, top) in enumerate(zip(kinds, values, accumulate(values), strict=True))
        if value
    ]


def _tone(place: int) -> str:
    return f"class-{place}" if place else "built"


def _points(values: Sequence[tuple[float, float]], slots: int, most: int) -> str:
    return " ".join(f"{WIDTH * x / slots:.1f},{HEIGHT * (1 - y / most):.1f}" for x, y in values)


def _name(kind: str) -> str:
    return kind.replace("-", " ")
