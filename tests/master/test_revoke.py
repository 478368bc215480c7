"""A node that is not to be trusted: what it built is hidden and built again elsewhere, with all that came of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from master import builds, enrol, hear, operate, rebuilds, revoke
from master.dispatch import Dispatcher
from master.site import Site
from master.store import Store
from schema.attest.authority import Authority, NodeKey
from schema.db.models import AuditEntry, Build, BuildMaterial, DirtyPage, Node, Project, Repeat, Wheel
from schema.db.session import now, transaction
from schema.errors import TrustError, UsageError
from schema.jobs import Limits
from schema.names import NodeName, node_name
from schema.platforms import Platform
from schema.repeats import Repeated
from schema.states import AttemptOutcome, BuildState, NodeState
from tests import published, rows

ADA = "ada@farm"
VICTIM, OTHER = NodeName("victim"), NodeName("other")
DAY = timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority")


@pytest.fixture
def nodes(database: Engine, authority: Authority, tmp_path: Path) -> dict[NodeName, NodeKey]:
    """Two nodes that are enrolled and were heard."""
    keys = {name: NodeKey.create(tmp_path / name, name) for name in (VICTIM, OTHER)}
    for name, key in keys.items():
        _enrol(database, authority, name, key, trusted=True)
        with transaction(database) as session:
            node = session.get_one(Node, name)
            node.platforms, node.slots, node.heard_at = [rows.PLATFORM], 1, now(session)
    return keys


def _enrol(database: Engine, authority: Authority, name: NodeName, key: NodeKey, *, trusted: bool = False) -> None:
    enrol.enrol(
        database,
        authority,
        node=name,
        csr_pem=key.csr_pem(),
        platforms=[Platform.parse(rows.PLATFORM)],
        outbox=Path("/nowhere"),
        who=ADA,
        trusted=trusted,
    )


def _built(session: Session, name: str, *, node: str = VICTIM, days_ago: float = 0, **values: Any) -> Wheel:
    """A wheel that was published, as a node built it."""
    build = rows.build(session, rows.project(session, name), state=BuildState.PUBLISHED)
    moment = now(session) - days_ago * DAY
    rows.attempt(session, build, node=node, outcome=AttemptOutcome.BUILT, **{"finished_at": moment, **values})
    return rows.wheel(session, build, sha256=f"{build.id:064x}", published_at=moment)


def _with(wheel: Wheel) -> list[dict[str, str]]:
    """The materials of a build that had this wheel of the farm as a build requirement."""
    return [{"kind": "farm-wheel", "name": wheel.project.name, "version": wheel.version, "sha256": wheel.sha256}]


def _revoke(session: Session, *, days_ago: float = 0.5) -> revoke.Taken:
    since = now(session) - days_ago * DAY
    revoke.revoke(session, VICTIM, since=since, who=ADA, reason="its disk was copied")
    return revoke.take_back(session, VICTIM, since=since, who=ADA, reason="its disk was copied")


def test_what_the_node_built_since_then_is_hidden_and_queued_again(
    database: Engine, nodes: dict[NodeName, NodeKey]
) -> None:
    assert nodes
    with transaction(database) as session:
        before, since = _built(session, "before", days_ago=1), _built(session, "since")
        others = _built(session, "others", node=OTHER)

        taken = _revoke(session)

        assert taken.wheels == (since.filename,)
        assert (before.removed_at, others.removed_at) == (None, None)
        assert since.removed_because == "built by node victim, which is not trusted any more: its disk was copied"
        assert since.build.state == BuildState.WITHDRAWN
        (again,) = (session.get_one(Build, item) for item in taken.builds)
        assert (again.state, again.build_number, again.project.name) == (BuildState.QUEUED, 1, "since")
        assert session.get(DirtyPage, since.project_id) is not None
        assert revoke.take_back(session, VICTIM, since=now(session) - DAY / 2, who=ADA, reason="again").wheels == ()


def test_what_the_node_says_of_when_it_ended_a_build_saves_no_wheel(
    database: Engine, nodes: dict[NodeName, NodeKey]
) -> None:
    assert nodes
    with transaction(database) as session:
        wheel = _built(session, "demo", finished_at=now(session) - 365 * DAY)

        assert _revoke(session).wheels == (wheel.filename,)


def test_what_was_built_with_its_wheels_goes_with_them_and_so_on(
    database: Engine, nodes: dict[NodeName, NodeKey]
) -> None:
    assert nodes
    with transaction(database) as session:
        tool = _built(session, "tool")
        made = _built(session, "made", node=OTHER, materials=_with(tool))
        further = _built(session, "further", node=OTHER, materials=_with(made))
        apart = _built(session, "apart", node=OTHER, materials=[{"kind": "python", "name": "tool", "version": "1.0"}])
        for wheel, with_ in ((made, "tool"), (further, "made"), (apart, "tool")):
            session.add(BuildMaterial(build_id=wheel.build_id, name=with_, version="1.0"))
        session.flush()

        taken = _revoke(session)

        assert set(taken.wheels) == {tool.filename, made.filename, further.filename}
        assert len(taken.builds) == 3
        assert further.removed_because.startswith(f"built with {made.filename}, which is not trusted any more: ")
        assert apart.removed_at is None


def test_others_build_what_it_works_on_and_nothing_of_it_counts_any_more(
    database: Engine, nodes: dict[NodeName, NodeKey]
) -> None:
    assert nodes
    with transaction(database) as session:
        build = rows.build(session)
        lease = rows.lease(session, build, node=VICTIM)
        assert lease is not None

        _revoke(session)

        assert builds.held_by(session, lease, VICTIM) is None
        said = rows.heartbeat(VICTIM, running=(lease,), platforms=(rows.PLATFORM,))
        assert hear.heartbeat(session, said, lease_s=90.0, lost_message_s=20.0) == hear.Heard(cancel=(lease,))
        assert session.get_one(Node, VICTIM).platforms == []
        dispatcher = Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90, silent_after_s=15)
        assert [node for node, _ in dispatcher.dispatch(session)] == [OTHER]


def test_what_it_said_of_the_builds_of_others_is_forgotten(database: Engine, nodes: dict[NodeName, NodeKey]) -> None:
    assert nodes
    with transaction(database) as session:
        verdicts = []
        for name, node in (("a", VICTIM), ("b", OTHER)):
            first = _built(session, name, node=OTHER).build
            again = rows.build(session, rows.project(session, f"{name}-again"), state=BuildState.UNNEEDED)
            row = Repeat(
                build_id=first.id, again_id=again.id, verdict=Repeated.IDENTICAL, node=node, told_at=now(session)
            )
            session.add(row)
            verdicts.append(row)
        session.flush()

        _revoke(session)

        session.expire_all()
        assert [row.verdict for row in verdicts] == [Repeated.NOT_REPEATED, Repeated.IDENTICAL]
        assert "is revoked" in verdicts[0].detail


def test_a_release_that_a_later_build_already_replaced_is_not_built_once_more(
    database: Engine, nodes: dict[NodeName, NodeKey]
) -> None:
    assert nodes
    with transaction(database) as session:
        wheel = _built(session, "demo")
        rebuilds.again(session, wheel.build, origin="person", reason="a person asked for it")

        assert _revoke(session) == revoke.Taken(wheels=(wheel.filename,), builds=())


def test_it_is_taken_back_with_a_new_key_only(
    database: Engine, nodes: dict[NodeName, NodeKey], authority: Authority, tmp_path: Path
) -> None:
    with transaction(database) as session:
        _revoke(session)
        with pytest.raises(UsageError, match="node victim is revoked"):
            operate.resume(session, VICTIM, who=ADA)

    with pytest.raises(TrustError, match="wheelfarm-node new-key"):
        _enrol(database, authority, VICTIM, nodes[VICTIM])

    renewed = NodeKey.renew(tmp_path / VICTIM)
    _enrol(database, authority, VICTIM, renewed)
    with transaction(database) as session:
        assert session.get_one(Node, VICTIM).state == NodeState.PROBATION
    with pytest.raises(TrustError, match="was revoked"):  # nor later
        _enrol(database, authority, VICTIM, nodes[VICTIM])


def test_a_farm_does_not_take_its_own_node_back_when_it_starts(
    database: Engine, nodes: dict[NodeName, NodeKey], authority: Authority
) -> None:
    with transaction(database) as session:
        revoke.retire(session, VICTIM, who=ADA, reason="it is old")

    enrol.enrol(
        database,
        authority,
        node=VICTIM,
        csr_pem=nodes[VICTIM].csr_pem(),
        platforms=[Platform.parse(rows.PLATFORM)],
        outbox=Path("/nowhere"),
    )

    with transaction(database) as session:
        assert session.get_one(Node, VICTIM).state == NodeState.RETIRED


def test_a_retired_node_leaves_its_wheels_and_its_builds_to_others(
    database: Engine, nodes: dict[NodeName, NodeKey], authority: Authority
) -> None:
    with transaction(database) as session:
        wheel, build = _built(session, "demo"), rows.build(session, rows.project(session, "running"))
        rows.lease(session, build, node=VICTIM)

        revoke.retire(session, VICTIM, who=ADA, reason="it is old")

        assert wheel.removed_at is None
        session.refresh(build)
        assert (build.state, build.leased_to) == (BuildState.QUEUED, None)
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "retire")).one()
        assert (entry.subject, entry.reason) == ("node victim", "it is old")

    _enrol(database, authority, VICTIM, nodes[VICTIM])
    with transaction(database) as session:
        assert session.get_one(Node, VICTIM).state == NodeState.PROBATION


def test_a_quarantined_node_ends_its_builds_and_gets_no_new_ones(
    database: Engine, nodes: dict[NodeName, NodeKey]
) -> None:
    assert nodes
    with transaction(database) as session:
        build = rows.build(session)
        lease = rows.lease(session, build, node=VICTIM)
        assert lease is not None

        node = operate.quarantine(session, VICTIM, who=ADA, reason="odd noises")

        assert (node.state, node.state_reason) == (NodeState.QUARANTINED, "odd noises")
        assert builds.held_by(session, lease, VICTIM) is not None
        assert operate.resume(session, VICTIM, who=ADA).state == NodeState.ACTIVE


def test_a_node_that_there_is_not_is_named(database: Engine) -> None:
    with transaction(database) as session, pytest.raises(UsageError, match="there is no node nobody"):
        revoke.retire(session, node_name("nobody"), who=ADA, reason="")


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # a thousand wheels take a while to publish
def test_the_drill_a_thousand_wheels_of_which_the_victim_built_two_hundred(
    database: Engine, nodes: dict[NodeName, NodeKey], tmp_path: Path, store: Store
) -> None:
    """The index is clean, and all 200 are queued for others (security.md 5.5)."""
    assert nodes
    site = Site(tmp_path / "site", store, "https://farm.example", [Platform.parse(rows.PLATFORM)])
    with transaction(database) as session:
        for number in range(1000):
            name = f"demo-{number:04}"
            wheel = published.publish(session, store, published.wheel_file(tmp_path, name, "1.0"))
            rows.attempt(
                session,
                wheel.build,
                node=VICTIM if number % 5 == 0 else OTHER,
                outcome=AttemptOutcome.BUILT,
                finished_at=now(session),
            )
            site.render(session, wheel.project_id)
    since, taken = published.PUBLISHED_AT, []
    with transaction(database) as session:
        revoke.revoke(session, VICTIM, since=since, who=ADA, reason="stolen")
    while True:
        with transaction(database) as session:
            step = revoke.take_back(session, VICTIM, since=since, who=ADA, reason="stolen")
        if not step.wheels:
            break
        taken.append(step)
    with transaction(database) as session:
        for page in session.scalars(select(DirtyPage)).all():
            site.render(session, page.project_id)

    assert sum(len(step.wheels) for step in taken) == 200
    assert sum(len(step.builds) for step in taken) == 200
    for number in range(1000):
        there = (site.folder / "files" / f"demo_{number:04}-1.0-py3-none-any.whl").exists()
        assert there == (number % 5 != 0)
    with transaction(database) as session:
        queued = session.scalars(
            select(Project.name)
            .join(Build, Build.project_id == Project.id)
            .where(Build.state == BuildState.QUEUED, Build.build_number == 1)
        ).all()
        assert len(queued) == 200
        dispatcher = Dispatcher(recipe_folders=(), limits=Limits(), lease_s=90, silent_after_s=600)
        assert {node for node, _ in dispatcher.dispatch(session)} == {OTHER}
