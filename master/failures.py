"""Which builds failed of the same cause: sorted in the background, for the page that ranks what to mend first.

Whoever changes whether a build is failed marks it, in the same transaction; one loop takes the marks and is the only
one that writes clusters. A mark carries a revision, so that a change while it is taken is not missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine, and_, delete, exists, func, select, tuple_, update
from sqlalchemy.orm import Session, joinedload

from schema import causes
from schema.db.models import Attempt, Build, Failure, FailureCluster, Project, UnsortedFailure
from schema.db.session import insert, transaction
from schema.failure_causes import NO_SOURCE, Cause, cause
from schema.states import AttemptOutcome, BuildState

_AT_ONCE = 200
# What people, or a rule of theirs, decided is not to be mended.
_DECIDED = (causes.RULED_OUT, causes.INSTEAD)


def mark(session: Session, build_id: int) -> None:
    """Whether the build is failed, or of what, is another now."""
    marked = insert(session, UnsortedFailure).values(build_id=build_id, revision=1)
    session.execute(
        marked.on_conflict_do_update(
            index_elements=[UnsortedFailure.build_id], set_={"revision": UnsortedFailure.revision + 1}
        )
    )


def turn(database: Engine) -> bool:
    """Sort a batch of what is marked; say whether there may be more."""
    with transaction(database) as session:
        return sort(session) == _AT_ONCE


def sort(session: Session, *, limit: int = _AT_ONCE) -> int:
    """Bring at most *limit* marked builds up to date, and count them."""
    marks = session.execute(
        select(UnsortedFailure.build_id, UnsortedFailure.revision).order_by(UnsortedFailure.build_id).limit(limit)
    ).all()
    ids = [build_id for build_id, _ in marks]
    for failure in session.scalars(select(Failure).where(Failure.build_id.in_(ids)).order_by(Failure.build_id)).all():
        _take_out(session, failure)
    _put_in(session, [(build, _cause(build, attempt)) for build, attempt in _failed(session, ids)])
    key = tuple_(UnsortedFailure.build_id, UnsortedFailure.revision)
    session.execute(delete(UnsortedFailure).where(key.in_([tuple(row) for row in marks])))
    return len(marks)


def weigh(session: Session) -> None:
    """Sum the downloads of every cluster anew, after a ranking was imported."""
    inside = select(Failure.project_id).where(Failure.cluster_id == FailureCluster.id).correlate(FailureCluster)
    downloads = select(func.coalesce(func.sum(Project.downloads), 0)).where(Project.id.in_(inside)).scalar_subquery()
    session.execute(update(FailureCluster).values(downloads=downloads).execution_options(synchronize_session=False))


def _failed(session: Session, ids: Sequence[int]) -> Iterator[tuple[Build, Attempt | None]]:
    """Those of the builds *ids* that failed and may be mended, each with its last attempt."""
    last = and_(Attempt.build_id == Build.id, Attempt.fence == Build.fence)
    both = select(Build, Attempt).outerjoin(Attempt, last).options(joinedload(Build.project))
    failed = both.where(Build.id.in_(ids), Build.state == BuildState.FAILED).order_by(Build.id)
    for build, attempt in session.execute(failed).all():
        if not build.is_repeat and not build.reason.startswith(_DECIDED):
            yield build, attempt


def _cause(build: Build, attempt: Attempt | None) -> Cause:
    """Of what the last attempt ended with; what the master found out itself stands in the reason only."""
    said = attempt is not None and attempt.outcome == AttemptOutcome.FAILED and attempt.failure_class
    if attempt is not None and said and build.reason.startswith(f"{said}: "):
        return cause(said, attempt.evidence or attempt.message or build.reason)
    failure_class, _, text = build.reason.partition(": ")
    if said or text:
        return cause(said or failure_class[:32], text or build.reason)
    return Cause(NO_SOURCE) if build.sdist_id is None else cause("build", build.reason)


def _put_in(session: Session, found: Sequence[tuple[Build, Cause]]) -> None:
    clusters = {one: _cluster(session, one) for _, one in found}
    pairs = {(clusters[one].id, build.project_id) for build, one in found}
    pair = Failure.cluster_id, Failure.project_id
    known = {tuple(row) for row in session.execute(select(*pair).where(tuple_(*pair).in_(pairs)).distinct())}
    for build, one in found:
        cluster = clusters[one]
        if (cluster.id, build.project_id) not in known:
            known.add((cluster.id, build.project_id))
            cluster.projects += 1
            cluster.downloads += build.project.downloads
        cluster.builds += 1
        cluster.platforms = {**cluster.platforms, build.platform: cluster.platforms.get(build.platform, 0) + 1}
        session.add(
            Failure(build_id=build.id, cluster_id=cluster.id, project_id=build.project_id, platform=build.platform)
        )
    session.flush()


def _take_out(session: Session, failure: Failure) -> None:
    cluster = session.get_one(FailureCluster, failure.cluster_id)
    session.delete(failure)
    session.flush()
    cluster.builds -= 1
    if not cluster.builds:
        session.delete(cluster)
    else:
        left = cluster.platforms.get(failure.platform, 0) - 1
        others = {name: builds for name, builds in cluster.platforms.items() if name != failure.platform}
        cluster.platforms = {**others, failure.platform: left} if left > 0 else others
        if not _holds(session, cluster.id, failure.project_id):
            cluster.projects -= 1
            project = session.get_one(Project, failure.project_id)
            cluster.downloads = max(cluster.downloads - project.downloads, 0)
    session.flush()


def _cluster(session: Session, found: Cause) -> FailureCluster:
    same = (
        FailureCluster.failure_class == found.failure_class,
        FailureCluster.kind == found.kind,
        FailureCluster.subject == found.subject,
    )
    cluster = session.scalar(select(FailureCluster).where(*same))
    if cluster is None:
        cluster = FailureCluster(
            failure_class=found.failure_class,
            kind=found.kind,
            subject=found.subject,
            builds=0,
            projects=0,
            downloads=0,
            platforms={},
        )
        session.add(cluster)
        session.flush()
    return cluster


def _holds(session: Session, cluster_id: int, project_id: int) -> bool:
    inside = exists().where(Failure.cluster_id == cluster_id, Failure.project_id == project_id)
    return bool(session.scalar(select(inside)))
