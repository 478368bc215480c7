"""What ``wheelfarm run`` shows of the builds: a line for each change, and on a terminal a live table of what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy import func, select
from sqlalchemy.orm import Session, contains_eager

from schema.db.models import Attempt, Build
from schema.db.session import now
from schema.errors import WireError
from schema.jobs import Step
from schema.printable import one_line, printable
from schema.states import LEASED_STATES, OPEN_STATES, BuildState

_STYLES = {
    BuildState.PUBLISHED: "green",
    BuildState.UNNEEDED: "dim",
    BuildState.FAILED: "red",
    BuildState.POISONED: "red",
    BuildState.HELD: "yellow",
    BuildState.WITHDRAWN: "yellow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One build at one moment.

    steps: of its newest attempt; empty unless it runs or has just ended
    """

    title: str
    state: BuildState
    reason: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every build at one moment, by id."""

    at: datetime
    builds: Mapping[int, Seen] = field(default_factory=dict)

    def count(self, *states: BuildState) -> int:
        """How many builds are in one of *states*."""
        return sum(build.state in states for build in self.builds.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A change worth a line of its own."""

    text: str
    style: str = ""


def snapshot(session: Session) -> Snapshot:
    """The builds as they are now."""
    builds = session.scalars(
        select(Build).join(Build.project).options(contains_eager(Build.project)).order_by(Build.id)
    )
    newest = select(func.max(Attempt.id)).group_by(Attempt.build_id)
    attempts = session.execute(select(Attempt.build_id, Attempt.steps).where(Attempt.id.in_(newest)))
    steps: dict[int, object] = {build_id: data for build_id, data in attempts}  # noqa: C416 - rows, not tuples, to mypy
    return Snapshot(
        at=now(session),
        builds={
            build.id: Seen(
                title=f"{build.project.name} {build.version} {build.platform}",
                state=BuildState(build.state),
                reason=build.reason,
                steps=_steps(steps.get(build.id)),
            )
            for build in builds
        },
    )


def changes(before: Snapshot | None, after: Snapshot) -> list[Line]:
    """What happened between two snapshots; all that is settled already is left out of the first."""
    lines = []
    for number, build in after.builds.items():
        earlier = before.builds.get(number) if before else None
        if before is None and build.state not in OPEN_STATES:
            continue
        lines += [
            Line(text=f"{build.title}: {step.name} ({step.seconds:.1f} s){_note(step)}")
            for step in build.steps
            if step.seconds is not None and (earlier is None or step not in earlier.steps)
        ]
        if build.state in _STYLES and (earlier is None or earlier.state != build.state):
            lines.append(Line(text=f"{build.title}: {_ended(build)}", style=_STYLES[build.state]))
        elif build.state == BuildState.QUEUED and (earlier is None or earlier.state in LEASED_STATES):
            style = "yellow" if earlier else "dim"
            lines.append(Line(text=f"{build.title}: queued: {one_line(build.reason)}", style=style))
    return lines


class Display:
    """A context that shows snapshots on *console*: lines only where it is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before: Snapshot | None = None
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, after: Snapshot) -> None:
        """Print what changed, and bring the table up to date."""
        for line in changes(self._before, after):
            # Text, not markup: a note may hold anything.
            self._console.print(Text(line.text, style=line.style), soft_wrap=True)
        self._before = after
        if self._live is not None:
            self._live.update(table(after))


def table(current: Snapshot) -> RenderableType:
    """What runs now, step by step, and the figures below it."""
    running = Table.grid(padding=(0, 2))
    for build in current.builds.values():
        if build.state in LEASED_STATES:
            step = build.steps[-1] if build.steps else None
            seconds = (current.at - step.started_at).total_seconds() if step and step.seconds is None else 0.0
            trail = " → ".join(item.name for item in build.steps) or "sent to the node"
            running.add_row(Text(build.title, style="bold"), Text(trail), Text(f"{max(seconds, 0):.0f} s"))
    figures = (
        f"{current.count(BuildState.PUBLISHED)} published, {current.count(BuildState.UNNEEDED)} unneeded, "
        f"{current.count(BuildState.FAILED, BuildState.POISONED)} failed, {current.count(*LEASED_STATES)} running, "
        f"{current.count(BuildState.QUEUED, BuildState.WAITING)} to do"
    )
    return Group(running, Text(figures, style="dim"))


@contextmanager
def step_by_step(console: Console, title: str) -> Iterator[Callable[[str, float | None], None]]:
    """Show the steps of one long task as they are told: a bar on a terminal, a line for each step elsewhere.

    The yielded function takes the step's name ("" changes nothing) and how much of the task is done, from 0 to 1.
    """
    if not console.is_terminal:
        told = [""]

        def say(step: str, _done: float | None) -> None:
            if step and step != told[-1]:
                told.append(step)
                console.print(Text(f"{title}: {printable(step)}"), soft_wrap=True)

        yield say
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0)

        def show(step: str, done: float | None) -> None:
            if step:
                bar.update(task, description=f"{title}: {printable(step)}", completed=done)

        yield show


def _steps(data: object) -> tuple[Step, ...]:
    """The steps that a row holds; what a node wrote wrongly is no step."""
    try:
        return tuple(Step.from_json(item) for item in data) if isinstance(data, list) else ()
    except WireError:
        return ()


def _ended(build: Seen) -> str:
    reason = one_line(build.reason)
    return reason if reason.startswith(build.state) else f"{build.state}: {reason}"


def _note(step: Step) -> str:
    return f": {one_line(step.note, limit=120)}" if step.note else ""
