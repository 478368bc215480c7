"""Many leases at once hold to what one lease holds to."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, select, update

from master import builds
from master.leasing import lease_many
from schema.db.models import Attempt, Build, DirtyPage
from schema.db.session import now, transaction
from schema.jobs import Lease
from schema.names import NodeName
from schema.states import AttemptOutcome, BuildState
from tests import rows

N1 = NodeName("n1")
OTHER = "debian13-x86_64-cp313"


def test_each_build_gets_a_fence_an_attempt_a_lease_and_a_marked_page(database: Engine) -> None:
    with transaction(database) as session:
        project = rows.project(session)
        found = [
            rows.build(session, project),
            rows.build(session, project, version="2.0", platform=OTHER),
            rows.build(session, rows.project(session, "other")),
        ]
        rows.attempt(session, found[2], node="n0", outcome=AttemptOutcome.LOST)
        revisions = dict(session.execute(select(DirtyPage.project_id, DirtyPage.revision)).all())
        moment = now(session)

        fences = lease_many(session, [build.id for build in found], node=N1, at=moment, lease_s=90)

        assert fences == {found[0].id: 1, found[1].id: 1, found[2].id: 2}
        for build in found:
            assert (build.state, build.leased_to, build.leased_at) == (BuildState.LEASED, "n1", moment)
            assert (build.lease_until, build.reason) == (moment + timedelta(seconds=90), "node n1 builds it")
            attempt = builds.attempt_of(session, Lease(build_id=build.id, fence=build.fence))
            assert (attempt.node, attempt.outcome, attempt.started_at) == ("n1", AttemptOutcome.RUNNING, moment)
            assert (attempt.steps, attempt.resources, attempt.finished_at) == ([], {}, None)
        marked = session.execute(select(DirtyPage.project_id, DirtyPage.revision)).all()
        assert dict(marked) == {project_id: before + 1 for project_id, before in revisions.items()}


def test_the_counts_follow(database: Engine) -> None:
    with transaction(database) as session:
        ids = [rows.build(session).id, rows.build(session, rows.project(session, "b"), platform=OTHER).id]
        rows.build(session, rows.project(session, "c"))
    with transaction(database) as session:
        lease_many(session, ids, node=N1, at=now(session), lease_s=90)
    with transaction(database) as session:
        assert builds.counts(session) == {
            (rows.PLATFORM, "leased"): 1,
            (rows.PLATFORM, "queued"): 1,
            (OTHER, "leased"): 1,
        }
        assert builds.recount(session) == {}


def test_a_build_that_is_no_longer_queued_is_left_out(database: Engine) -> None:
    with transaction(database) as session:
        held, queued = rows.build(session), rows.build(session, rows.project(session, "other"))
        session.execute(update(Build).where(Build.id == held.id).values(state=BuildState.HELD))

        assert lease_many(session, [held.id, queued.id], node=N1, at=now(session), lease_s=90) == {queued.id: 1}

        assert session.scalars(select(Attempt.build_id)).all() == [queued.id]


def test_where_nobody_is_left_nothing_is_written(database: Engine) -> None:
    with transaction(database) as session:
        held = rows.build(session, state=BuildState.HELD)

        assert lease_many(session, [held.id], node=N1, at=now(session), lease_s=90) == {}
        assert lease_many(session, [], node=N1, at=now(session), lease_s=90) == {}

        assert session.scalars(select(Attempt)).all() == []
