"""Hand the best queued build to each free slot: just in time, to one node, never to a shared queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from packaging.utils import NormalizedName
from sqlalchemy import Select, exists, func, literal_column, select
from sqlalchemy.orm import Session, joinedload

from master import builds, recipes
from master.keep import room
from schema.causes import FAULTY_RECIPE
from schema.db.models import Attempt, Build, Node, UpstreamFile
from schema.db.session import now
from schema.errors import SettingsError
from schema.jobs import BuildJob, FarmWheel, Limits, Sdist
from schema.names import NodeName, Sha256
from schema.states import RETRY, BuildState, FailureClass

log = logging.getLogger(__name__)

_MOST_SLOTS = 256  # whatever a node says of itself
_SIZES = (0, 1, 2)
_ELSEWHERE = sorted(item for item in FailureClass if RETRY[item].elsewhere)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """What a job is made of beside its rows.

    recipe_folders: the operator's, before the shipped ones
    silent_after_s: a node that was not heard for so long gets nothing
    wheels: the farm's own wheels that a build needs
    """

    recipe_folders: Sequence[Path]
    limits: Limits
    lease_s: float
    silent_after_s: float
    wheels: Callable[[Session, Build], tuple[FarmWheel, ...]] = lambda *_: ()

    def dispatch(self, session: Session) -> list[tuple[NodeName, BuildJob]]:
        """Lease builds to every free slot; the caller sends the jobs after the transaction.

        Nothing is given out while the farm's intake is stopped (``master.keep.room``).
        """
        if room.note_of(session):
            return []
        heard_since = now(session) - timedelta(seconds=self.silent_after_s)
        nodes = session.scalars(
            select(Node).where(Node.state == "active", Node.heard_at >= heard_since).order_by(Node.name)
        ).all()
        busy = _busy_slots(session)
        return [
            (NodeName(node.name), job)
            for node in nodes
            for _ in range(min(node.slots, _MOST_SLOTS) - busy.get(node.name, 0))
            if (job := self._grant(session, node)) is not None
        ]

    def _grant(self, session: Session, node: Node) -> BuildJob | None:
        build = next_build(session, node.name, node.platforms)
        if build is None:
            return None
        try:
            recipe = recipes.recipe_for(NormalizedName(build.project.name), self.recipe_folders)
        except SettingsError as err:
            builds.move(session, build, BuildState.HELD, reason=f"{FAULTY_RECIPE}{err}")
            return None
        held = builds.lease(session, build, node=NodeName(node.name), lease_s=self.lease_s)
        if held is None or build.sdist is None:
            return None
        return BuildJob(
            build_id=build.id,
            fence=held.fence,
            project=NormalizedName(build.project.name),
            version=build.version,
            platform=build.platform,
            sdist=sdist_of(build.sdist),
            build_number=build.build_number,
            recipe=recipe,
            limits=self.limits,
            wheels=self.wheels(session, build),
            before=build.leased_at,
        )


def sdist_of(file: UpstreamFile) -> Sdist:
    """The wire's form of a source distribution's row; only rows with a digest are ever built."""
    return Sdist(
        filename=file.filename,
        url=file.url,
        sha256=Sha256(file.sha256 or ""),
        size_bytes=file.size_bytes,
        uploaded_at=file.uploaded_at,
    )


def _busy_slots(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(Build.leased_to, func.count()).where(Build.state == BuildState.LEASED).group_by(Build.leased_to)
    )
    return {node: count for node, count in rows if node is not None}


def next_build(session: Session, node: str, platforms: Collection[str]) -> Build | None:
    """The best-scored build that this node may have: one look into ``ix_builds_next`` for each platform and size.

    A build that failed here in a class that is tried again elsewhere only is left to the other nodes.
    """
    probes = (_best(platform, size, node) for platform in platforms for size in _SIZES)
    found = [build for probe in probes for build in session.scalars(probe)]
    return max(found, key=lambda build: (build.score, build.id), default=None)


def _best(platform: str, size: int, node: str) -> Select[Build]:
    failed_here = exists().where(
        Attempt.build_id == Build.id,
        Attempt.node == node,
        Attempt.failure_class.in_(_ELSEWHERE),
        Attempt.fence > Build.pardoned_fence,
    )
    return (
        select(Build)
        .where(
            # Spelt out, not bound: a partial index is used only where the planner sees its condition.
            literal_column("builds.state = 'queued'"),
            Build.platform == platform,
            Build.size == size,
            Build.sdist_id.is_not(None),
            ~failed_here,
        )
        .options(joinedload(Build.sdist), joinedload(Build.project))
        .order_by(Build.score.desc(), Build.id.desc())
        .limit(1)
    )
