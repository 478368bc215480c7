"""A new node builds what is known, before it gets anything else and before anything of it is published."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import builds, enrol, operate, repeats, revoke
from master.dispatch import Dispatcher
from schema.attest.authority import Authority, NodeKey
from schema.db.models import AuditEntry, Build, Canary, Node, Repeat
from schema.db.session import now, transaction
from schema.jobs import BuildJob, Limits
from schema.names import NodeName
from schema.platforms import Platform
from schema.repeats import Repeated
from schema.states import AttemptOutcome, BuildState, FailureClass, NodeState
from tests import rows

NEW, OLD, ADA = NodeName("new"), NodeName("old"), "ada@farm"


def _dispatcher(wanted: int = 20) -> Dispatcher:
    return Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90, silent_after_s=60, canaries=wanted)


def _published(session: Session, *names: str, by: str = OLD) -> list[Build]:
    """Builds that are on the index, and that *by* has built."""
    found = []
    for name in names:
        build = rows.build(session, rows.project(session, name), state=BuildState.PUBLISHED)
        rows.attempt(session, build, node=by, outcome=AttemptOutcome.BUILT)
        rows.wheel(session, build)
        found.append(build)
    return found


def _new(session: Session, *, slots: int = 2, **values: Any) -> Node:
    """A node that has just been enrolled, and was heard."""
    since = now(session) - timedelta(seconds=1)
    return rows.node(session, NEW, slots=slots, **{"state": "probation", "probation_since": since, **values})


def _given(session: Session, wanted: int = 20) -> list[BuildJob]:
    """What the new node gets now."""
    return [job for node, job in _dispatcher(wanted).dispatch(session) if node == NEW]


def _ends(session: Session, jobs: list[BuildJob], verdict: Repeated, detail: str = "") -> None:
    """As ``repeats.settle`` does it, once the wheel was compared."""
    for job in jobs:
        row, build = session.get_one(Canary, job.build_id), session.get_one(Build, job.build_id)
        row.verdict, row.detail, row.told_at = verdict, detail, now(session)
        builds.end_attempt(
            session, builds.attempt_of(session, job.lease), at=now(session), outcome=AttemptOutcome.BUILT
        )
        builds.move(session, build, BuildState.COLLECTING, reason="", leased_to=NEW)
        builds.move(session, build, BuildState.UNNEEDED, reason=f"repeats build {row.build_id}")
    session.flush()


def _repeat(session: Session, build: Build, verdict: Repeated | None) -> None:
    """What another node has said of that build."""
    again = repeats.queue(session, build, node=OLD, reason="")
    builds.move(session, again, BuildState.UNNEEDED, reason="")
    row = session.get_one(Repeat, build.id)
    row.verdict, row.node = verdict, "third"
    session.flush()


@pytest.fixture
def session(database: Engine) -> Iterator[Session]:
    with transaction(database) as opened:
        yield opened


def test_a_node_on_probation_gets_only_what_is_published_and_others_get_the_queue(session: Session) -> None:
    _new(session)
    rows.node(session, OLD, slots=5)
    known = _published(session, "one", "two", "three")
    queued = rows.build(session, rows.project(session, "fresh"))

    jobs = _dispatcher().dispatch(session)

    to_new = [job for node, job in jobs if node == NEW]
    assert {session.get_one(Canary, job.build_id).build_id for job in to_new} < {build.id for build in known}
    assert [(job.build_number, len(to_new)) for job in to_new] == [(0, 2)] * 2
    assert [(node, job.build_id) for node, job in jobs if node != NEW] == [(OLD, queued.id)]


def test_it_is_let_in_once_enough_came_out_as_it_is_known(session: Session) -> None:
    node = _new(session)
    _published(session, "one", "two", "three", "four")

    first = _given(session, 3)
    _ends(session, first, Repeated.IDENTICAL)
    second = _given(session, 3)
    assert node.state_reason == "2 of 3 canaries came out as they are known"
    _ends(session, second, Repeated.EQUIVALENT)
    assert _given(session, 3) == []

    assert (len(first), len(second)) == (2, 1)
    assert (node.state, node.probation_since, node.state_reason) == (NodeState.ACTIVE, None, "")
    entry = session.scalars(select(AuditEntry)).one()
    assert (entry.who, entry.action, entry.subject) == ("wheelfarm", "let in", "node new")


def test_where_fewer_are_published_all_there_are_will_do(session: Session) -> None:
    node = _new(session)
    _published(session, "one")

    _ends(session, _given(session), Repeated.IDENTICAL)
    _given(session)

    assert node.state == NodeState.ACTIVE
    reason = session.scalars(select(AuditEntry.reason)).one()
    assert reason.startswith("1 of 20 canaries came out as they are known, and nothing more is published")


@pytest.mark.parametrize("published", [(), ("own",)])
def test_the_first_node_of_its_platforms_has_nobody_to_be_compared_with_and_is_let_in(
    session: Session, published: tuple[str, ...]
) -> None:
    node = _new(session)
    _published(session, *published, by=NEW)

    assert _given(session) == []
    assert node.state == NodeState.ACTIVE


def test_one_that_offers_nothing_yet_stays_on_probation(session: Session) -> None:
    node = _new(session, platforms=[])

    assert _given(session) == []
    assert node.state == NodeState.PROBATION


def test_a_build_that_is_known_to_repeat_and_came_out_otherwise_sets_it_aside_with_the_evidence(
    session: Session,
) -> None:
    node = _new(session)
    (build,) = _published(session, "demo")
    _repeat(session, build, Repeated.IDENTICAL)

    (job,) = _given(session)
    _ends(session, [job], Repeated.DIFFERS, "demo/_c.so: .text")
    assert _given(session) == []

    assert node.state == NodeState.QUARANTINED
    assert node.state_reason == (
        f"its canary, build {job.build_id} of demo 1.0, is not what build {build.id} gave: demo/_c.so: .text"
    )


@pytest.mark.parametrize(
    ("elsewhere", "state"), [(Repeated.IDENTICAL, "quarantined"), (Repeated.DIFFERS, "active"), (None, "probation")]
)
def test_of_a_build_that_nobody_has_repeated_another_node_tells_first(
    session: Session, elsewhere: Repeated | None, state: str
) -> None:
    node = _new(session)
    rows.node(session, OLD, slots=0)
    (build,) = _published(session, "demo")

    _ends(session, _given(session), Repeated.DIFFERS, "demo/_c.so")
    _given(session)
    repeat = session.get_one(Repeat, build.id)
    assert (node.state, repeat.verdict) == (NodeState.PROBATION, None)
    repeat.verdict, repeat.node = elsewhere, OLD
    session.flush()
    _given(session)

    assert node.state == state


def test_a_build_that_came_out_otherwise_and_nobody_can_repeat_waits_for_a_person(session: Session) -> None:
    node = _new(session)
    _published(session, "demo")

    _ends(session, _given(session), Repeated.DIFFERS, "demo/_c.so")
    _given(session)

    assert node.state == NodeState.QUARANTINED
    assert node.state_reason.endswith("nobody could build it once more, so a person has to look")


def test_a_node_that_cannot_build_what_others_built_is_set_aside(session: Session) -> None:
    node = _new(session)
    _published(session, "one", "two")

    for job in _given(session):
        build = session.get_one(Build, job.build_id)
        builds.end_attempt(
            session,
            builds.attempt_of(session, job.lease),
            at=now(session),
            outcome=AttemptOutcome.FAILED,
            failure_class=FailureClass.SOURCE,
        )
        session.flush()
        builds.fail(session, build, failure_class=FailureClass.SOURCE, message="no", retry_s=60)
    _given(session)

    assert node.state == NodeState.QUARANTINED
    assert node.state_reason.startswith("it could not build 2 of 2 canaries")


def test_a_canary_whose_message_was_lost_is_given_again_and_to_nobody_else(session: Session) -> None:
    _new(session, slots=1)
    rows.node(session, OLD, slots=5)
    _published(session, "one")
    (job,) = _given(session)

    builds.give_back(session, session.get_one(Build, job.build_id), why="lost", blame=False)
    jobs = _dispatcher().dispatch(session)

    assert [(node, again.build_id, again.fence) for node, again in jobs] == [(NEW, job.build_id, job.fence + 1)]


@pytest.mark.parametrize("how", ["drained", "revoked", "silent"])
def test_canaries_of_a_node_that_is_not_on_probation_any_more_are_taken_back(session: Session, how: str) -> None:
    node = _new(session, certificate="")
    _published(session, "one")
    (job,) = _given(session)

    if how == "drained":
        operate.drain(session, NEW, who=ADA, reason="")
    elif how == "revoked":
        revoke.revoke(session, NEW, since=now(session), who=ADA, reason="")
    else:
        node.heard_at = now(session) - timedelta(hours=1)
    session.flush()
    _dispatcher().dispatch(session)

    assert session.get_one(Build, job.build_id).state == BuildState.WITHDRAWN
    assert session.get_one(Canary, job.build_id).verdict == Repeated.NOT_REPEATED


def test_a_node_that_is_resumed_before_it_was_let_in_begins_its_probation_anew(session: Session) -> None:
    node = _new(session, state="quarantined")
    began = node.probation_since

    operate.resume(session, NEW, who=ADA)

    assert node.state == NodeState.PROBATION
    assert node.probation_since is not None
    assert began is not None
    assert node.probation_since > began


def _enrol(database: Engine, folder: Path, *, who: str | None = ADA, trusted: bool = False) -> str:
    enrol.enrol(
        database,
        Authority.create(folder / "authority"),
        node=NEW,
        csr_pem=NodeKey.create(folder / "keys", NEW).csr_pem(),
        platforms=[Platform.parse(rows.PLATFORM)],
        outbox=folder / "outbox",
        who=who,
        trusted=trusted,
    )
    with transaction(database) as session:
        return session.get_one(Node, NEW).state


def test_who_is_enrolled_is_on_probation_but_for_the_farms_own_node_and_those_a_person_trusts(
    database: Engine, tmp_path: Path
) -> None:
    assert _enrol(database, tmp_path) == NodeState.PROBATION
    assert _enrol(database, tmp_path) == NodeState.PROBATION  # a new certificate changes nothing
    assert _enrol(database, tmp_path, trusted=True) == NodeState.ACTIVE
    assert _enrol(database, tmp_path) == NodeState.ACTIVE
    with transaction(database) as session:
        trusted = [entry.after["trusted"] for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]
        assert trusted == [False, False, True, False]
        revoke.retire(session, NEW, who=ADA, reason="")
    assert _enrol(database, tmp_path) == NodeState.PROBATION


def test_the_farms_own_node_is_the_masters_machine_and_needs_no_probation(database: Engine, tmp_path: Path) -> None:
    assert _enrol(database, tmp_path, who=None) == NodeState.ACTIVE
