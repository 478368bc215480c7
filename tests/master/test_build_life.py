"""The life of builds in any order of events: Hypothesis drives a real database; what must hold is checked each time."""

from __future__ import annotations

import logging
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from packaging.version import Version
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from master import builds, hear, needs, operate, ripen, steer, sweep
from master.choose import Desk, choose
from master.leasing import lease_many
from master.which import Which, chosen
from master.withdraw import withdraw
from schema.capacity import Machine
from schema.db.models import Attempt, AuditEntry, Build, Node, Project, Wheel
from schema.db.session import engine, now, transaction
from schema.errors import UsageError
from schema.jobs import Lease
from schema.names import NodeName, project_name
from schema.states import TRANSITIONS, AttemptOutcome, BuildState, FailureClass
from tests import rows

ADA = "ada@farm"
NODES = [NodeName(name) for name in ("n1", "n2", "n3")]
MOVED = re.compile(r"build (\d+): (\w+) -> (\w+): ")

Doing = Callable[..., Sequence[Build | Node]]

_TRIED_AGAIN = [FailureClass.NODE, FailureClass.REQUIREMENT, FailureClass.TIMEOUT, FailureClass.MEMORY]
ENDS = [*_TRIED_AGAIN, FailureClass.BUILD, FailureClass.SDIST, "claimed", "published", "published"]
recent = st.integers(0, 9)  # 0: the newest
some_node = st.sampled_from(NODES)


def _fail(session: Session, build: Build, failure_class: FailureClass) -> None:
    attempt = builds.attempt_of(session, Lease(build_id=build.id, fence=build.fence))
    outcome = AttemptOutcome.FAILED
    builds.end_attempt(session, attempt, at=now(session), outcome=outcome, failure_class=failure_class)
    session.flush()
    if failure_class is FailureClass.REQUIREMENT:
        needs.wait(session, build, [f"p{build.id}"])  # the project of the next build, which may be there or not
    else:
        builds.fail(session, build, failure_class=failure_class, message="oh no", retry_s=60)


def _rebuild(session: Session, which: Which, *, who: str) -> Sequence[Build]:
    [build] = chosen(session, which)
    return operate.rebuild(session, project_name(build.project.name), Version(build.version), None, who=who)


def _remove(session: Session, which: Which, *, who: str) -> Sequence[Build]:
    [build] = chosen(session, which)
    removed = operate.remove(session, project_name(build.project.name), None, who=who, reason="no good")
    return [wheel.build for wheel in removed]


def _drain(session: Session, which: Which, *, who: str) -> Sequence[Node]:
    return [operate.drain(session, NODES[int(str(which.one)) % len(NODES)], who=who, reason="")]


def _resume(session: Session, which: Which, *, who: str) -> Sequence[Node]:
    return [operate.resume(session, NODES[int(str(which.one)) % len(NODES)], who=who)]


DOINGS: list[Doing] = [
    *(steer.hold, steer.release, partial(steer.release, at_once=True), steer.cancel, steer.retry, steer.retry),
    *(partial(steer.boost, by=5), partial(steer.boost, by=0), _rebuild, _remove, _drain, _resume),
]


some_results = st.lists(st.tuples(recent, st.sampled_from(ENDS)), min_size=1, max_size=4)
some_doings = st.lists(st.tuples(recent, st.sampled_from(DOINGS)), min_size=1, max_size=3)
some_time = st.sampled_from(["pauses end", "leases run out", "needs are looked at", "upstream takes back"])

EVENTS = st.one_of(
    st.tuples(st.just("a_release_is_wanted"), st.tuples()),
    st.tuples(st.just("builds_are_given_out"), st.tuples(st.lists(some_node, min_size=1, max_size=4))),
    st.tuples(st.just("results_come"), st.tuples(some_results)),
    st.tuples(st.just("a_heartbeat_comes"), st.tuples(some_node, st.sets(recent), st.booleans(), st.booleans())),
    st.tuples(st.just("time_passes"), st.tuples(some_time, recent)),
    st.tuples(st.just("people_steer"), st.tuples(some_doings)),
)


class _Moves(logging.Handler):
    """Every move, as the log tells of it."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.seen: list[tuple[int, BuildState, BuildState]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if found := MOVED.match(record.getMessage()):
            self.seen.append((int(found[1]), BuildState(found[2]), BuildState(found[3])))


class BuildLife(RuleBasedStateMachine):
    """Some builds and nodes; people, nodes and loops do what they may do, at any time."""

    migrated: ClassVar[Path]
    folder: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        file = self.folder / "farm.sqlite"
        for suffix in ("", "-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(self.migrated, file)
        self.database = engine(f"sqlite:///{file}")
        self.moves = _Moves()
        self.log = logging.getLogger("master")
        self.log.setLevel(logging.INFO)
        self.log.addHandler(self.moves)
        self.leases: list[tuple[NodeName, Lease]] = []
        self.fences: dict[int, int] = {}
        self.states: dict[int, BuildState] = {}
        self.published: Counter[tuple[int, int]] = Counter()
        self.doings = 0
        with transaction(self.database) as session:
            for name in NODES:
                rows.node(session, name, memory_bytes=8)

    def teardown(self) -> None:
        self.log.removeHandler(self.moves)
        self.database.dispose()

    @rule(event=EVENTS)
    def something_happens(self, event: tuple[str, tuple[Any, ...]]) -> None:
        """One rule for all: of several, Hypothesis would leave out some in each example, and little would happen."""
        name, arguments = event
        if name in {"results_come", "a_heartbeat_comes"} and not self.leases:
            return
        getattr(self, name)(*arguments)

    # What the farm, nodes, upstream and people do.

    @initialize()
    def some_releases_are_wanted(self) -> None:
        for _ in range(4):
            self.a_release_is_wanted()

    def a_release_is_wanted(self) -> None:
        with transaction(self.database) as session:
            name = f"p{len(self.states)}"
            asked_for = session.scalar(select(Project).where(Project.name == name))
            build = rows.build(session, asked_for or rows.project(session, name))
            self.states[build.id] = BuildState.QUEUED

    def builds_are_given_out(self, nodes: list[NodeName]) -> None:
        for node in nodes:
            with transaction(self.database) as session:
                silent = Machine(memory_bytes=0, disk_free_bytes=0)
                found = choose(session, Desk(node=node, platforms=(rows.PLATFORM,), slots=1, machine=silent))
                fences = lease_many(session, [item.id for item in found], node=node, at=now(session), lease_s=90)
            self.leases += [(node, Lease(build_id=build_id, fence=fence)) for build_id, fence in fences.items()]

    def results_come(self, results: list[tuple[int, str]]) -> None:
        """Of any lease that there ever was, mostly of a late one."""
        for back, end in results:
            self._result(back, end)

    def _result(self, back: int, end: str) -> None:
        node, lease = self._lease(back)
        with transaction(self.database) as session:
            build = builds.held_by(session, lease, node, for_update=True)
            if build is None:
                return
            if build.state == BuildState.LEASED:
                held = {"leased_to": build.leased_to, "lease_until": build.lease_until}
                assert builds.move(session, build, BuildState.COLLECTING, reason="checks", **held)
            if end == "published":
                self._publish(session, build)
            elif end != "claimed":
                _fail(session, build, FailureClass(end))

    def a_heartbeat_comes(self, node: NodeName, mentioned: set[int], *flags: bool) -> None:
        """Of some leases that there ever were, of that node or not, long after they were granted."""
        begun, late = flags
        running = tuple(self._lease(back)[1] for back in mentioned)
        with transaction(self.database) as session:
            past = now(session) - timedelta(hours=1)
            session.execute(update(Build).where(Build.leased_to == node).values(leased_at=past))
            if begun:
                session.execute(update(Attempt).where(Attempt.node == node).values(steps=[{"name": "fetch"}]))
            beat = rows.heartbeat(node, running=running)
            hear.heartbeat(session, beat, lease_s=90, lost_message_s=20, lag_s=lambda: 60.0 if late else 0.0)

    def time_passes(self, what: str, back: int) -> None:
        with transaction(self.database) as session:
            past = now(session) - timedelta(hours=1)
            if what == "pauses end":
                session.execute(update(Build).where(Build.not_before.is_not(None)).values(not_before=past))
                ripen.ripen(session)
            elif what == "leases run out":
                session.execute(update(Build).where(Build.leased_to.is_not(None)).values(lease_until=past))
                sweep.expired(session)
            elif what == "needs are looked at":
                needs.sweep(session)
            elif back > 4:
                withdraw(session, self._build(session, back), "it is yanked", now(session))

    def people_steer(self, doings: list[tuple[int, Doing]]) -> None:
        for back, doing in doings:
            self._steer(back, doing)

    def _steer(self, back: int, doing: Doing) -> None:
        try:
            with transaction(self.database) as session:
                done = doing(session, Which(one=self._build(session, back).id), who=ADA)
        except UsageError:
            return
        self.doings += len(done)
        for row in done:
            if isinstance(row, Build):
                self.states.setdefault(row.id, BuildState.QUEUED)

    def _publish(self, session: Session, build: Build) -> None:
        attempt = builds.attempt_of(session, Lease(build_id=build.id, fence=build.fence))
        builds.end_attempt(session, attempt, at=now(session), outcome=AttemptOutcome.BUILT)
        rows.wheel(session, build, filename=f"p-{build.id}-{build.fence}-py3-none-any.whl")
        assert builds.move(session, build, BuildState.PUBLISHED, reason="published")
        self.published[build.id, build.fence] += 1

    def _lease(self, back: int) -> tuple[NodeName, Lease]:
        return self.leases[-1 - back % len(self.leases)]

    def _build(self, session: Session, back: int) -> Build:
        numbers = sorted(self.states)
        return session.get_one(Build, numbers[-1 - back % len(numbers)])

    # What must always hold.

    @invariant()
    def every_move_is_in_the_table_and_begins_where_the_last_one_ended(self) -> None:
        for number, before, after in self.moves.seen:
            assert after in TRANSITIONS[before]
            assert self.states[number] == before
            self.states[number] = after
        self.moves.seen.clear()
        with transaction(self.database) as session:
            now_in = {build.id: build.state for build in session.scalars(select(Build))}
        assert now_in == self.states

    @invariant()
    def the_counts_are_those_of_a_recount(self) -> None:
        with transaction(self.database) as session:
            assert builds.recount(session) == {}

    @invariant()
    def the_fence_only_rises(self) -> None:
        with transaction(self.database) as session:
            for number, fence in session.execute(select(Build.id, Build.fence)):
                assert fence >= self.fences.get(number, 0)
                self.fences[number] = fence

    @invariant()
    def one_attempt_runs_while_a_lease_is_held_and_none_otherwise(self) -> None:
        running = (
            select(Attempt.build_id, Attempt.fence)
            .where(Attempt.outcome == AttemptOutcome.RUNNING)
            .order_by(Attempt.build_id)
        )
        held = select(Build.id, Build.fence).where(Build.leased_to.is_not(None)).order_by(Build.id)
        with transaction(self.database) as session:
            assert session.execute(running).all() == session.execute(held).all()

    @invariant()
    def nothing_is_published_twice(self) -> None:
        assert all(times == 1 for times in self.published.values())
        with transaction(self.database) as session:
            served = select(Wheel.build_id).where(Wheel.removed_at.is_(None)).group_by(Wheel.build_id)
            assert session.scalars(served.having(func.count() > 1)).all() == []

    @invariant()
    def what_waits_for_another_does_not_pause(self) -> None:
        with transaction(self.database) as session:
            both = select(Build.id).where(Build.waits_for.is_not(None), Build.not_before.is_not(None))
            assert session.scalars(both).all() == []

    @invariant()
    def each_doing_of_a_person_left_one_row(self) -> None:
        with transaction(self.database) as session:
            assert session.scalar(select(func.count()).select_from(AuditEntry)) == self.doings
            assert session.scalar(select(func.count()).select_from(Node)) == len(NODES)


@pytest.mark.slow
def test_what_must_hold_holds_in_any_order_of_events(migrated_sqlite: Path, tmp_path: Path) -> None:
    class Life(BuildLife):
        migrated, folder = migrated_sqlite, tmp_path

    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
