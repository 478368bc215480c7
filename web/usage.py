"""What an attempt used as time went, as plots: memory, and processors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from schema.errors import WireError
from schema.jobs import MOST_USAGE, Step, Usage
from schema.printable import one_line
from web.plots import HEIGHT, WIDTH, Block, Plot
from web.shown import duration

_MEGA = 1_000_000
_LETTERS = 60  # of a step's name
_SHORTEST_S = 0.001  # between two points
_LONGEST_S = 1e7  # no attempt lasts four months: such a point is none
_NOTHING = Usage(at_s=0.0, cpu_s=0.0, memory_bytes=0)


@dataclass(frozen=True, slots=True)
class _Span:
    """A part of the time. processors: so many were busy, in the mean; memory: megabytes, at most; step: "" unknown."""

    begin_s: float
    end_s: float
    processors: float
    memory: float
    step: str


def points(kept: Any) -> list[Usage]:  # noqa: ANN401 - a JSON column that a node filled
    """Those of the column ``usage`` of an attempt that follow each other as time does; what is nonsense is left out."""
    found = [_NOTHING]
    for item in kept[:MOST_USAGE] if isinstance(kept, list) else []:
        try:
            point = Usage.from_json(item)
        except WireError:
            continue
        before = found[-1]
        if point.at_s - before.at_s < _SHORTEST_S or point.cpu_s < before.cpu_s or point.at_s > _LONGEST_S:
            continue
        found.append(point)
    return found[1:]


def plots(points: Sequence[Usage], steps: Sequence[Step]) -> list[Plot]:
    """Of the *points* of an attempt with these *steps*; none where there are none."""
    spans = _spans(points, steps)
    if not spans:
        return []
    most_memory = max(spans, key=lambda span: span.memory)
    busiest = max(spans, key=lambda span: span.processors)
    return [
        _plot(
            spans,
            lambda span: span.memory,
            title="Memory, in MB",
            description=f"{_during(most_memory)}{most_memory.memory:,.0f} MB, the most.",
            written="{:,.0f} MB",
        ),
        _plot(
            spans,
            lambda span: span.processors,
            title="Processors in use",
            description=f"{_during(busiest)}{busiest.processors:.1f}, the most.",
            written="{:.2f}",
        ),
    ]


def _plot(
    spans: Sequence[_Span], value: Callable[[_Span], float], *, title: str, description: str, written: str
) -> Plot:
    whole_s, most = spans[-1].end_s, max(math.ceil(max(map(value, spans))), 1)
    return Plot(
        title=title,
        description=description,
        most=most,
        labels=("0 s", duration(whole_s)),
        blocks=[
            Block(
                x=round(WIDTH * span.begin_s / whole_s, 1),
                y=round(HEIGHT * (1 - value(span) / most), 1),
                width=round(WIDTH * (span.end_s - span.begin_s) / whole_s, 1),
                height=round(HEIGHT * value(span) / most, 1),
                tone="used",
                title=f"{_during(span)}until {duration(span.end_s)}: {written.format(value(span))}",
            )
            for span in spans
        ],
        head=["Until", title],
        rows=[[f"{_during(span)}{duration(span.end_s)}", written.format(value(span))] for span in spans],
    )


def _spans(points: Sequence[Usage], steps: Sequence[Step]) -> list[_Span]:
    """What lies between two points."""
    return [
        _Span(
            begin_s=before.at_s,
            end_s=point.at_s,
            processors=(point.cpu_s - before.cpu_s) / (point.at_s - before.at_s),
            memory=point.memory_bytes / _MEGA,
            step=_step_at(point.at_s, steps),
        )
        for before, point in pairwise([_NOTHING, *points])
    ]


def _step_at(seconds: float, steps: Sequence[Step]) -> str:
    begun = [step.name for step in steps if (step.started_at - steps[0].started_at).total_seconds() < seconds]
    return one_line(begun[-1], limit=_LETTERS) if begun else ""


def _during(span: _Span) -> str:
    return f"{span.step}: " if span.step else ""
