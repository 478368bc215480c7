"""Hand the best queued builds to free slots: just in time, to one node, never to a shared queue."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from packaging.utils import NormalizedName
from packaging.version import Version
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from master import builds, canaries, repeats, rule_counts, what_worked
from master.choose import Candidate, Desk, choose, is_short, plan_once
from master.keep import room
from master.leasing import lease_many
from schema import recipe_files
from schema.capacity import Machine
from schema.causes import FAULTY_RECIPE, RULED_OUT
from schema.db import counts
from schema.db.models import Build, Node, UpstreamFile
from schema.db.running import sizes_by_node
from schema.db.session import now
from schema.errors import SettingsError
from schema.jobs import BuildJob, FarmWheel, Limits, Sdist
from schema.names import NodeName, Sha256
from schema.platforms import Platform
from schema.recipes import Recipe, Rule, applicable, combined, remedies, ruled_out, size_of
from schema.remedies import Remedy
from schema.repeats import is_repeat, wheel_number
from schema.sections import BundleSection
from schema.states import BuildState, NodeState

log = logging.getLogger(__name__)

_HEARD = (
    select(Node.name, Node.platforms, Node.emulated, Node.slots, Node.memory_bytes, Node.disk_free_bytes)
    .where(Node.state == bindparam("state"), Node.heard_at >= bindparam("since"))
    .order_by(Node.name)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Knowledge:
    """What a job says of how to build; as in ``BuildJob``."""

    recipe: Recipe
    remedies: tuple[Rule, ...]
    known: tuple[Remedy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """What a job is made of beside its rows.

    recipe_folders: the operator's, before the shipped ones
    silent_after_s: a node that was not heard for so long gets nothing
    canaries: builds that a node on probation has to build as they are known
    bundle: which libraries wheels get by platform, where no rule says so
    wheels: the farm's own wheels that a build needs
    """

    recipe_folders: Sequence[Path]
    limits: Limits
    lease_s: float
    silent_after_s: float
    canaries: int = 20
    bundle: BundleSection = field(default_factory=BundleSection)
    wheels: Callable[[Session, Build], tuple[FarmWheel, ...]] = lambda *_: ()

    def dispatch(self, session: Session) -> list[tuple[NodeName, BuildJob]]:
        """Lease builds to every free slot; the caller sends the jobs after the transaction.

        Nothing is given out while the farm's intake is stopped (``master.keep.room``).
        """
        if room.note_of(session):
            return []
        moment = now(session)
        since = moment - timedelta(seconds=self.silent_after_s)
        on_probation = self._to_nodes_on_probation(session, moment, since)
        all_desks = desks(session, heard_since=since)
        free = [desk for desk in all_desks if desk.free]
        if not free:
            return on_probation
        plan_once(session)
        queued = counts.by_platform(session, BuildState.QUEUED)
        kept_free: set[int] = set()
        jobs = on_probation
        taken: dict[NodeName, list[int]] = defaultdict(list)
        for desk in (*free, *(replace(desk, platforms=desk.spare) for desk in free if desk.spare)):
            left = replace(desk, running=(*desk.running, *taken[desk.node]))
            short = _is_short(left, all_desks, queued)
            chosen = choose(session, left, at=moment, longest_first=short, kept_free=kept_free)
            granted = self._grant(session, desk.node, chosen, at=moment)
            given = {job.build_id for job in granted}
            taken[desk.node] += [item.size for item in chosen if item.id in given]
            jobs += [(desk.node, job) for job in granted]
        return jobs

    def _to_nodes_on_probation(
        self, session: Session, moment: datetime, since: datetime
    ) -> list[tuple[NodeName, BuildJob]]:
        """What they have to show; nothing of it is ever published."""
        heard = desks(session, heard_since=since, state=NodeState.PROBATION) if canaries.are_needed(session) else []
        jobs = []
        for desk in heard:
            chosen = canaries.next_for(session, desk, wanted=self.canaries)
            jobs += [(desk.node, job) for job in self._grant(session, desk.node, chosen, at=moment)]
        canaries.withdraw_others(session, [desk.node for desk in heard])
        return jobs

    def _grant(self, session: Session, node: NodeName, chosen: Sequence[Candidate], *, at: datetime) -> list[BuildJob]:
        known = {item.id: found for item in chosen if (found := self._recipe(session, item, at.date())) is not None}
        fences = lease_many(session, list(known), node=node, at=at, lease_s=self.lease_s)
        jobs = [
            BuildJob(
                build_id=item.id,
                fence=fences[item.id],
                project=NormalizedName(item.project),
                version=item.version,
                platform=item.platform,
                sdist=sdist_of(item),
                build_number=wheel_number(item.build_number),
                recipe=known[item.id].recipe,
                limits=self.limits,
                wheels=self.wheels(session, session.get_one(Build, item.id)) if item.needs else (),
                before=_counts_until(session, item, at),
                remedies=known[item.id].remedies,
                known=known[item.id].known,
            )
            for item in chosen
            if item.id in fences
        ]
        rule_counts.remember(session, jobs)
        return jobs

    def _recipe(self, session: Session, item: Candidate, today: date) -> _Knowledge | None:
        """What holds from the start, and what may after a failure; None where that keeps it from beginning now."""
        try:
            rules = recipe_files.rules_for(NormalizedName(item.project), self.recipe_folders)
        except SettingsError as err:
            build = session.get_one(Build, item.id)
            builds.move(session, build, BuildState.HELD, reason=f"{FAULTY_RECIPE}{err}")
            return None
        version, platform = Version(item.version), Platform.parse(item.platform)
        from_the_start = applicable(rules, version=version, platform=platform, today=today)
        if forbidden := ruled_out(from_the_start):
            builds.move(session, session.get_one(Build, item.id), BuildState.FAILED, reason=f"{RULED_OUT}{forbidden}")
            return None
        recipe = combined((Recipe(bundle=self.bundle.on(platform)), *from_the_start))
        if recipe.memory is not None and (size := size_of(recipe.memory)) > item.size:
            session.get_one(Build, item.id).size = size  # a node that has room for it takes it the next time
            session.flush()
            return None
        return _Knowledge(
            recipe=recipe,
            remedies=remedies(rules, version=version, platform=platform, today=today),
            known=what_worked.recall(
                session, item.project_id, version=version, platform=platform, rules=rules, today=today
            ),
        )


def _counts_until(session: Session, item: Candidate, at: datetime) -> datetime:
    """From when on a build requirement is too new: a repeat has those that there were for the first build."""
    if not is_repeat(item.build_number):
        return at
    return repeats.first_began_at(session, item.id, item.build_number) or at


def desks(session: Session, *, heard_since: datetime, state: NodeState = NodeState.ACTIVE) -> list[Desk]:
    """The nodes in that state that were heard, with what they do, in the order of their names."""
    running = sizes_by_node(session)
    nodes = session.execute(_HEARD, {"since": heard_since, "state": state}).all()
    native = {item for node in nodes for item in node.platforms if item not in node.emulated}
    return [
        Desk(
            node=NodeName(node.name),
            platforms=tuple(item for item in node.platforms if item not in node.emulated or item not in native),
            spare=tuple(item for item in node.emulated if item in native),
            slots=node.slots,
            machine=Machine(memory_bytes=node.memory_bytes, disk_free_bytes=node.disk_free_bytes),
            running=tuple(running[node.name]),
        )
        for node in nodes
    ]


def _is_short(desk: Desk, all_desks: Sequence[Desk], queued: Mapping[str, int]) -> bool:
    """Whether the queue that this node is served from is too short to fill the slots of all that share it twice."""
    sharing = [other.slots for other in all_desks if not set(desk.platforms).isdisjoint(other.platforms)]
    return is_short(sum(queued.get(platform, 0) for platform in desk.platforms), sum(sharing))


def sdist_of(file: UpstreamFile | Candidate) -> Sdist:
    """The wire's form of a source distribution; only those with a digest are ever built."""
    return Sdist(
        filename=file.filename,
        url=file.url,
        sha256=Sha256(file.sha256 or ""),
        size_bytes=file.size_bytes,
        uploaded_at=file.uploaded_at,
    )
