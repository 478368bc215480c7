"""What the terminal shows of the builds."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console
from sqlalchemy import Engine

from master.display import Display, Seen, Snapshot, changes, snapshot, step_by_step, table
from schema.db.session import transaction
from schema.jobs import Step
from schema.states import BuildState
from tests import rows

_AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def _step(name: str, seconds: float | None = None, note: str = "") -> Step:
    return Step(name=name, started_at=_AT, seconds=seconds, note=note)


def _shot(state: BuildState, *steps: Step, reason: str = "because") -> Snapshot:
    build = Seen(title="demo 1.0 debian12-x86_64-cp311", state=state, reason=reason, steps=steps)
    return Snapshot(at=_AT + timedelta(seconds=9), builds={1: build})


def _texts(before: Snapshot | None, after: Snapshot) -> list[str]:
    return [line.text.removeprefix("demo 1.0 debian12-x86_64-cp311: ") for line in changes(before, after)]


def test_each_step_is_told_once_when_it_ends() -> None:
    fetching = _shot(BuildState.LEASED, _step("fetch"))
    building = _shot(BuildState.LEASED, _step("fetch", 1.25, "from upstream"), _step("build"))

    assert _texts(_shot(BuildState.QUEUED), fetching) == []
    assert _texts(fetching, building) == ["fetch (1.2 s): from upstream"]
    assert _texts(building, building) == []


def test_how_a_build_ended_is_told_with_its_reason() -> None:
    assert _texts(_shot(BuildState.COLLECTING), _shot(BuildState.PUBLISHED)) == ["published: because"]
    assert _texts(_shot(BuildState.LEASED), _shot(BuildState.FAILED, reason="build: no\ngood")) == [
        "failed: build: no good"
    ]
    assert _texts(_shot(BuildState.LEASED), _shot(BuildState.QUEUED, reason="again: lost")) == ["queued: again: lost"]


def test_a_new_build_is_told_with_the_reason_for_it() -> None:
    empty = Snapshot(at=_AT)

    assert _texts(empty, _shot(BuildState.QUEUED, reason="no wheel upstream")) == ["queued: no wheel upstream"]


def test_what_was_settled_before_the_run_is_not_told_again() -> None:
    assert _texts(None, _shot(BuildState.PUBLISHED, _step("fetch", 1.0))) == []
    assert _texts(None, _shot(BuildState.LEASED, _step("fetch", 1.0))) == ["fetch (1.0 s)"]


def test_the_table_shows_what_runs_and_for_how_long() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=120)

    console.print(table(_shot(BuildState.LEASED, _step("fetch", 1.0), _step("build"))))

    running, figures = shown.getvalue().splitlines()
    assert running.split("  ")[0] == "demo 1.0 debian12-x86_64-cp311"
    assert "fetch → build" in running
    assert running.rstrip().endswith("9 s")
    assert "1 running" in figures


def test_without_a_terminal_there_are_lines_only_and_nothing_obeys_them() -> None:
    shown = io.StringIO()
    with Display(Console(file=shown, width=40)) as display:
        display.show(_shot(BuildState.LEASED))
        display.show(_shot(BuildState.FAILED, reason="[red]evil\x1b[2J " + "long " * 20))

    lines = shown.getvalue().splitlines()
    assert len(lines) == 1
    assert "[red]evil␛[2J long" in lines[0]


def test_on_a_terminal_lines_stand_above_the_live_table() -> None:
    shown = io.StringIO()
    with Display(Console(file=shown, width=100, force_terminal=True)) as display:
        display.show(_shot(BuildState.LEASED, _step("build")))
        display.show(_shot(BuildState.PUBLISHED))

    assert "published: because" in shown.getvalue()
    assert "1 published" in shown.getvalue()


def test_a_long_task_is_told_step_by_step_each_once() -> None:
    shown = io.StringIO()
    with step_by_step(Console(file=shown, width=100), "image x") as tell:
        for step in ("unpacking", "unpacking", "", "done"):
            tell(step, 0.5)

    assert shown.getvalue() == "image x: unpacking\nimage x: done\n"


def test_on_a_terminal_a_long_task_has_a_bar() -> None:
    shown = io.StringIO()
    with step_by_step(Console(file=shown, width=100, force_terminal=True), "image x") as tell:
        tell("unpacking", 0.5)

    assert "image x: unpacking" in shown.getvalue()


def test_a_snapshot_holds_the_steps_of_the_newest_attempt(database: Engine) -> None:
    with transaction(database) as session:
        build = rows.build(session, state=BuildState.LEASED, leased_to="n1")
        rows.attempt(session, build, outcome="lost", steps=[_step("fetch", 1.0).to_json()])
        rows.attempt(session, build, outcome="running", steps=[_step("build").to_json()])
        other = rows.build(session, rows.project(session, "other"), state=BuildState.FAILED)
        rows.attempt(session, other, outcome="failed", steps=["no step"])

    with transaction(database) as session:
        seen = snapshot(session)

    assert [step.name for step in seen.builds[build.id].steps] == ["build"]
    assert seen.builds[other.id].steps == ()
    assert seen.count(BuildState.LEASED, BuildState.FAILED) == 2
