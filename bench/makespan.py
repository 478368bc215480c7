"""How well a farm fills its slots: ten small C projects from source on two slots, in a new home, with real processes.

``make bench-makespan`` prints the seconds of each build, and the farm's wall time over half of their sum.
Source distributions and build requirements come from the index that pip here is set to use.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, func, select

from schema.db.models import Attempt, Build, Project, Request, Wheel
from schema.db.session import engine, transaction
from schema.settings import load
from schema.states import OPEN_STATES, AttemptOutcome, BuildState
from tests.whole_farm import Farm, free_port

PROJECTS = (
    "pyyaml",
    "msgpack",
    "bitarray",
    "simplejson",
    "wrapt",
    "psutil",
    "regex",
    "frozenlist",
    "multidict",
    "markupsafe",
)
SLOTS = 2
GOAL = 1.25
_AT_MOST_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One attempt: given out, begun by the node, left in its outbox, published; all as POSIX time.

    wall_s: what the node says it took; requirements_s: of its step ``requirements``
    """

    name: str
    leased: float
    begun: float
    left: float
    published: float | None
    wall_s: float
    requirements_s: float


def main() -> int:
    """Run it; 0 if every project was built and the goal is met."""
    with _farm() as farm:
        database = engine(load(farm.settings_file).database_url, read_only=True)
        try:
            _wait(farm, database)
            spans, requested, states = _read(database)
        finally:
            database.dispose()
    failed = sorted(name for name, state in states.items() if state != BuildState.PUBLISHED)
    _print(spans, requested, failed)
    ratio = _ratio(spans)
    return 0 if not failed and ratio <= GOAL else 1


@contextlib.contextmanager
def _farm() -> Iterator[Farm]:
    with tempfile.TemporaryDirectory(prefix="wf-makespan-", ignore_cleanup_errors=True) as name:
        farm = Farm(folder=Path(name), port=free_port())
        farm.folder.chmod(0o755)
        farm.settings_file.write_text(
            f'[farm]\nname = "makespan"\nhome = "home"\n[web]\nport = {farm.port}\n'
            f'[node]\nname = "n-{farm.port}"\nworkspace = "work"\nslots = {SLOTS}\n'
        )
        wishes = farm.folder / "list.toml"
        wishes.write_text(f'build = "always"\nprojects = {list(PROJECTS)}\n'.replace("'", '"'))
        farm.start("--list", wishes)
        try:
            yield farm
        finally:
            farm.stop()
            for pid in farm.processes():
                os.kill(pid, signal.SIGKILL)


def _wait(farm: Farm, database: Engine) -> None:
    """Until no build is open, but at least one for each project was made; raise TimeoutError."""
    deadline = time.monotonic() + _AT_MOST_S
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if not (farm.folder / "home" / "farm.sqlite").exists():
            continue
        with contextlib.suppress(Exception), transaction(database) as session:  # while the tables are being made
            total = session.scalar(select(func.count(Build.project_id.distinct()))) or 0
            left = session.scalar(select(func.count()).where(Build.state.in_(OPEN_STATES))) or 0
            _say(f"{total} of {len(PROJECTS)} planned, {left} to do")
            if total >= len(PROJECTS) and not left:
                return
    raise TimeoutError(f"not done after {_AT_MOST_S:g} s: {(farm.folder / 'run.log').read_text()[-2000:]}")


def _read(database: Engine) -> tuple[list[Span], float, dict[str, str]]:
    with transaction(database) as session:
        requested = session.scalars(select(func.min(Request.created_at))).one()
        states = dict(session.execute(select(Project.name, Build.state).join(Build.project)).all())
        published = dict(session.execute(select(Wheel.build_id, Wheel.published_at)).all())
        rows = session.execute(
            select(Project.name, Attempt)
            .join(Build, Attempt.build_id == Build.id)
            .join(Build.project)
            .order_by(Attempt.started_at)
        ).all()
        spans = [_span(name, attempt, published) for name, attempt in rows if attempt.finished_at]
    return spans, requested.timestamp(), states


def _span(name: str, attempt: Attempt, published: dict[int, datetime]) -> Span:
    finished = attempt.finished_at.timestamp() if attempt.finished_at else 0.0
    at = published.get(attempt.build_id) if attempt.outcome == AttemptOutcome.BUILT else None
    return Span(
        name=name,
        leased=attempt.started_at.timestamp(),
        begun=finished - attempt.resources.get("wall_s", 0.0),
        left=finished,
        published=at.timestamp() if at else None,
        wall_s=attempt.resources.get("wall_s", 0.0),
        requirements_s=next((step["seconds"] or 0.0 for step in attempt.steps if step["name"] == "requirements"), 0.0),
    )


def _end(spans: Sequence[Span]) -> float:
    return max(span.published or span.left for span in spans)


def _ratio(spans: Sequence[Span]) -> float:
    return (_end(spans) - spans[0].leased) / (sum(span.wall_s for span in spans) / SLOTS)


def _print(spans: Sequence[Span], requested: float, failed: Sequence[str]) -> None:
    first, total = spans[0].leased, sum(span.wall_s for span in spans)
    out = sys.stdout
    out.write(
        f"{'project':<12} {'given out at':>12} {'build s':>8} {'of it requirements':>19} {'until published':>16}\n"
    )
    for span in spans:
        after = "" if span.published is None else f"{span.published - span.left:.2f}"
        given = f"{span.leased - first:>12.2f}"
        out.write(f"{span.name:<12} {given} {span.wall_s:>8.2f} {span.requirements_s:>19.2f} {after:>16}\n")
    wall, asked = _end(spans) - first, _end(spans) - requested
    out.write(f"\nsum of the builds: {total:.1f} s; half of it: {total / SLOTS:.1f} s\n")
    out.write(f"from the first lease to the last publish: {wall:.1f} s, {_ratio(spans):.3f} of that (goal: {GOAL})\n")
    out.write(f"from the request to the last publish: {asked:.1f} s, {asked / (total / SLOTS):.3f} of that\n")
    out.write("slot seconds without a build, by cause:\n")
    for cause, seconds in _idle(spans).items():
        out.write(f"  {seconds:7.2f}  {cause}\n")
    if failed:
        out.write(f"not built: {', '.join(failed)}\n")


def _idle(spans: Sequence[Span]) -> dict[str, float]:
    """What the slots did when they did not build, from the first lease to the last publish."""
    slots: list[list[Span]] = [[] for _ in range(SLOTS)]
    for span in spans:
        # The slot that was free for longest: which one it truly was makes no difference to the sums.
        min(slots, key=lambda slot: slot[-1].left if slot else 0.0).append(span)
    end, last_left = _end(spans), max(span.left for span in spans)
    pairs = [(slot[at - 1], span) for slot in slots for at, span in enumerate(slot) if at]
    return {
        "dispatch: from a slot's result to its next lease": sum(span.leased - before.left for before, span in pairs),
        "dispatch, signature: from a lease to a build's start, and from its end to the result": sum(
            span.begun - span.leased for span in spans
        ),
        "nothing left to build": sum(last_left - slot[-1].left for slot in slots if slot),
        "collect: from the last result to the last publish": SLOTS * (end - last_left),
    }


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text}\033[K")


if __name__ == "__main__":
    sys.exit(main())
