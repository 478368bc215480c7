"""What to mend first: failed builds by their cause, those that keep most downloads from a wheel first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session, joinedload

from schema.db.models import Attempt, Build, Cure, Failure, FailureCluster
from schema.db.why.failures import advice
from schema.db.why.reasons import Actor
from schema.db.why.surroundings import Rules
from schema.failure_causes import NO_SOURCE
from schema.missing import MissingKind
from schema.states import FailureClass
from web.builds import ShownTry, tries
from web.queries import PAGE, Shown, shown_with

# What was missing, as a sentence begins; what is no package of a distribution has no question for one.
_MISSING = {
    MissingKind.HEADER: "Header",
    MissingKind.PKG_CONFIG: "pkg-config module",
    MissingKind.PROGRAM: "Program",
    MissingKind.LIBRARY: "Library",
    MissingKind.PYTHON_MODULE: "Python module",
    MissingKind.COMPILER: "Compiler for",
    MissingKind.CMAKE: "CMake package",
    MissingKind.INTROSPECTION: "Introspection data of",
    MissingKind.NAMED: "Library",
    MissingKind.PACKAGE_REQUIREMENT: "Build requirement",
}
_ASKED = frozenset({MissingKind.HEADER, MissingKind.PKG_CONFIG, MissingKind.PROGRAM, MissingKind.LIBRARY})
_TITLES = {
    FailureClass.MEMORY: "Out of memory",
    FailureClass.PROCESSES: "Too many processes",
    FailureClass.DISK: "Out of disk space",
    FailureClass.LOG: "The log grew too long",
    FailureClass.TIMEOUT: "Took too long",
    FailureClass.SILENCE: "Said nothing for too long",
    FailureClass.NODE: "The node's own fault",
    FailureClass.LOST: "Lost with its node",
    FailureClass.CANCELLED: "Cancelled",
}
_NO_SOURCE = "Upstream has no source distribution"
_NO_SOURCE_ADVICE = "Only a release with a source distribution can help."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A cluster, and the newest build in it.

    share: of the most downloads on the page, in percent; cure: what mended the same in other builds, None: nothing did
    """

    cluster: FailureCluster
    sample: Build | None
    share: int = 0
    cure: Cure | None = None

    @property
    def title(self) -> str:
        """The cause in a few words; of a log, so hostile."""
        kind, subject = self.cluster.kind, self.cluster.subject
        if kind in _MISSING:
            lacks = "cannot be had" if kind == MissingKind.PACKAGE_REQUIREMENT else "is missing"
            return f"{_MISSING[MissingKind(kind)]} {subject} {lacks}"
        if self.cluster.failure_class == NO_SOURCE:
            return _NO_SOURCE
        return subject or _titled(self.cluster.failure_class)

    @property
    def platforms(self) -> Mapping[str, int]:
        """Platform → builds, the most first."""
        return dict(sorted(self.cluster.platforms.items(), key=lambda item: (-item[1], item[0])))

    @property
    def actor(self) -> Actor:
        """Who can do something about it."""
        return advised(self.cluster.failure_class)[0]

    @property
    def advice(self) -> str:
        """What helps, as a sentence."""
        return advised(self.cluster.failure_class)[1]

    @property
    def question(self) -> str:
        """The command that tells which Debian package has what is missing; "" where none can."""
        kind = self.cluster.kind
        return f"wheelfarm-node packages --{kind} {self.cluster.subject}" if kind in _ASKED else ""

    @property
    def actions(self) -> dict[str, Any]:
        """What to add to a recipe, as it mended other builds; nothing where nobody knows."""
        return dict(self.cure.actions) if self.cure else {}

    @property
    def recipe(self) -> str:
        """A rule for a recipe's file, whole or to be ended by a person; "" where a rule can not help."""
        actions = self.actions or ({"debian_packages": ["PACKAGE"]} if self.question else {})
        if not actions:
            return ""
        # A text, number, list or truth value of JSON is one of TOML, too.
        lines = [f"{name} = {json.dumps(value)}" for name, value in actions.items()]
        why = json.dumps(f"{self.title[0].lower()}{self.title[1:]}", ensure_ascii=False)
        return "\n".join(["[[rule]]", 'id = "needs"', f"why = {why}", *lines])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPage:
    """A cluster with a page of its builds, the newest first. before: where the next page begins, 0 at the end.

    tries: what the sample's node tried; evidence, line: of the sample's log
    """

    ranked: Ranked
    builds: Sequence[Shown]
    before: int
    tries: Sequence[ShownTry]
    evidence: str
    line: int | None


def ranking(session: Session, *, failure_class: str = "", after: int = 0) -> tuple[list[Ranked], int]:
    """A page of clusters behind the cluster *after*, and the cluster that the next page comes after (0 at the end)."""
    rank = tuple_(FailureCluster.downloads, FailureCluster.builds, FailureCluster.id)
    order = (FailureCluster.downloads.desc(), FailureCluster.builds.desc(), FailureCluster.id.desc())
    wanted = select(FailureCluster).order_by(*order).limit(PAGE + 1)
    if failure_class:
        wanted = wanted.where(FailureCluster.failure_class == failure_class)
    if after and (last := session.get(FailureCluster, after)):
        wanted = wanted.where(rank < (last.downloads, last.builds, last.id))
    found = session.scalars(wanted).all()
    clusters = found[:PAGE]
    samples = _samples(session, [cluster.id for cluster in clusters])
    most = max((cluster.downloads for cluster in clusters), default=0) or 1
    page = [
        Ranked(cluster=cluster, sample=samples.get(cluster.id), share=round(100 * cluster.downloads / most))
        for cluster in clusters
    ]
    return page, clusters[-1].id if len(found) > PAGE else 0


def cluster_page(session: Session, cluster_id: int, *, before: int = 0, rules: Rules) -> ClusterPage | None:
    """None if there is no such cluster (any more)."""
    cluster = session.get(FailureCluster, cluster_id)
    if cluster is None:
        return None
    wanted = select(Failure.build_id).where(Failure.cluster_id == cluster_id)
    if before:
        wanted = wanted.where(Failure.build_id < before)
    ids = session.scalars(wanted.order_by(Failure.build_id.desc()).limit(PAGE + 1)).all()
    query = select(Build).options(joinedload(Build.project)).where(Build.id.in_(ids[:PAGE]))
    builds = session.scalars(query.order_by(Build.id.desc())).all()
    sample = _samples(session, [cluster_id]).get(cluster_id)
    attempt = _attempt(session, sample)
    return ClusterPage(
        ranked=Ranked(
            cluster=cluster,
            sample=sample,
            cure=session.get(Cure, (cluster.failure_class, cluster.kind, cluster.subject)),
        ),
        builds=shown_with(session, builds, rules=rules),
        before=ids[PAGE - 1] if len(ids) > PAGE else 0,
        tries=tries(attempt) if attempt else (),
        evidence=attempt.evidence or attempt.message if attempt else "",
        line=attempt.line if attempt else None,
    )


def advised(failure_class: str) -> tuple[Actor, str]:
    """Who can do something about a class, and what, as a sentence."""
    if failure_class == NO_SOURCE:
        return Actor.UPSTREAM, _NO_SOURCE_ADVICE
    known = failure_class in set(FailureClass)
    actor, text = advice(FailureClass(failure_class) if known else FailureClass.BUILD)
    return actor, f"{text[0].upper()}{text[1:]}."


def _titled(failure_class: str) -> str:
    known = failure_class in set(FailureClass)
    title = _TITLES.get(FailureClass(failure_class)) if known else None
    return title or f"Failed ({failure_class}); the log tells nothing"


def _samples(session: Session, clusters: Sequence[int]) -> dict[int, Build]:
    """Cluster → the newest build in it."""
    newest = select(func.max(Failure.build_id)).where(Failure.cluster_id == FailureCluster.id).scalar_subquery()
    rows = session.execute(select(FailureCluster.id, newest).where(FailureCluster.id.in_(clusters))).all()
    wanted = select(Build).options(joinedload(Build.project)).where(Build.id.in_([number for _, number in rows]))
    builds = {build.id: build for build in session.scalars(wanted)}
    return {cluster_id: builds[number] for cluster_id, number in rows if number in builds}


def _attempt(session: Session, build: Build | None) -> Attempt | None:
    if build is None:
        return None
    return session.scalar(select(Attempt).where(Attempt.build_id == build.id, Attempt.fence == build.fence))
